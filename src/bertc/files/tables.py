"""Tables whole: rows with all their columns, for readers that look for the columns themselves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from os import PathLike
from typing import Any

from bertc.errors import InputError
from bertc.files.hub import is_hub, read_hub_table
from bertc.files.lines import STDIN, read_lines
from bertc.files.texts import READERS, Row, data_suffix

_NAMED = (".jsonl", ".parquet")
"""Files that name the columns of each row."""


def read_table(path: str | PathLike[str], *, numbered: bool = False) -> Iterator[Row]:
    """Yield the rows of a ``.tsv``, ``.csv``, ``.jsonl`` or ``.parquet`` file, or of a data set of the hub.

    That is ``hub:NAME#SUBSET@SPLIT``. A file may be compressed. The first line of a table names its columns;
    a cell that a line lacks is None. If columns are ``numbered``, no line does, and they are called 1, 2, ...
    Raises ``InputError`` with file and line.
    """
    if is_hub(path):
        yield from read_hub_table(path)
        return
    suffix = ".tsv" if is_tab_separated(path) else data_suffix(path)
    if suffix not in READERS or suffix == ".txt":
        raise InputError(
            f"{path}: expected a table: .tsv, .csv, .jsonl or .parquet, with a line that names the columns"
        )
    if not numbered or suffix in _NAMED:
        yield from READERS[suffix](path, ())
        return
    for where, cells in READERS[suffix](path, ("0",)):
        yield Row(where, {str(int(name) + 1): value for name, value in cells.items()})


def has_named_columns(path: str | PathLike[str]) -> bool:
    """Tell whether a path has rows whose columns may be lists: ``.jsonl``, ``.parquet``, or of the hub."""
    return is_hub(path) or data_suffix(path) in _NAMED


def is_tab_separated(path: str | PathLike[str]) -> bool:
    """Tell whether a file is a table of tabs without quotes: its name says so, or its first line has a tab.

    So the STS benchmark and GLUE write tables, whatever the names of their files. Standard input is taken for
    one.
    """
    suffix = data_suffix(path)
    if is_hub(path):
        return False
    if str(path) == STDIN or suffix in (*_NAMED, ".tsv"):
        return suffix not in _NAMED
    return any("\t" in line for _, line in islice(read_lines(path), 1))


def text_cell(row: Row, column: str) -> str:
    """Return a cell that is a text. Raises ``InputError`` that names its place."""
    value = cell(row, column)
    if not isinstance(value, str):
        raise InputError(f"{row.where}, column {column}: {type(value).__name__}, expected a text")
    return value


def cell(row: Row, column: str) -> Any:
    """Return a cell. Raises ``InputError`` for one that its row lacks."""
    value = row.cells.get(column)
    if value is None:
        names = list(row.cells)
        if column in names:
            count = sum(each is not None for each in row.cells.values())
            raise InputError(f"{row.where}: {count} columns, expected at least {names.index(column) + 1}")
        raise InputError(f"{row.where}: no column {column}, it has {', '.join(names) or 'none'}")
    return value


def check_ids(ids: Iterable[tuple[str, str]]) -> None:
    """Raise ``InputError`` if an id stands twice among (id, its place in a file)."""
    places: dict[str, str] = {}
    for name, where in ids:
        if name in places:
            raise InputError(f"{where}: the id {name!r} is that of {places[name]} too: give each its own")
        places[name] = where


def row_id(path: str | PathLike[str], row: Row) -> str:
    """Return the id of a row: its column ``id``, else its place in the file."""
    found = row.cells.get("id")
    return row.where.removeprefix(f"{path}, ") if found is None else str(found)
