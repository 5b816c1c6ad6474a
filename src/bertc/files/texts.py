"""Texts from a file, one record at a time: ``.txt``, ``.jsonl``, ``.csv``, ``.tsv`` or ``.parquet``.

Any of them may be compressed (``.jsonl.gz``).
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from bertc.errors import InputError, MissingExtraError
from bertc.files.lines import STDIN, compression, open_bytes, read_lines

LONGEST_CELL = 2**27
"""Characters of a cell of a ``.csv`` file. Without a limit, a quote that is never closed would read all of
a file into memory; the csv module's own, 131,072, is less than some texts have."""
SLICE_RECORDS = 4096
SLICE_CHARACTERS = 4 * 1024 * 1024
"""Enough to keep all threads busy, and little enough to hold in memory: 4096 vectors of 768 are 12 MB."""


class Record(NamedTuple):
    """A text and what to call it."""

    id: Any
    """What the file says (a string, a number, None, a date, ...), else the number of the record, from 0."""
    text: str
    pair: str | None = None
    """The second text, where one was asked for."""


class Row(NamedTuple):
    """What one line or row of a file holds, by column."""

    where: str
    cells: Mapping[str, Any]


def read_texts(
    path: str | PathLike[str],
    column: str = "text",
    *,
    pair_column: str | None = None,
    kind: str | None = None,
) -> Iterator[Record]:
    """The texts of a file, or of standard input for ``-`` (one per line, unless ``kind`` says otherwise).

    ``.txt``: a text per line, blank ones too. ``.jsonl``: per line a string, or an object with
    ``column`` and perhaps ``id``. ``.csv`` (quoted) and ``.tsv`` (never quoted): a header names the
    columns; if ``column`` is a number there is none, and columns count from 0. ``.parquet``: columns.
    ``pair_column`` has the second texts of pairs; ``kind`` is a suffix to go by instead of the file's.
    Raises ``InputError`` with file and line for what is no text.
    """
    suffix = kind or data_suffix(path)
    if suffix not in READERS:
        raise InputError(f"{path}: cannot read {suffix or 'a file without suffix'}: use {', '.join(READERS)}")
    columns = (column,) if pair_column is None else (column, pair_column)
    for index, row in enumerate(READERS[suffix](path, columns)):
        yield to_record(row, columns, index)


def data_suffix(path: str | PathLike[str]) -> str:
    """The ending that says what is in a file: ``.jsonl`` for ``file.jsonl.gz``, ``.txt`` for ``-``."""
    if str(path) == STDIN:
        return ".txt"
    name = Path(path)
    return (name.with_suffix("") if compression(name) else name).suffix.lower()


def to_record(row: Row, columns: tuple[str, ...], index: int) -> Record:
    """The texts of a row. Raises ``InputError`` where it has none."""
    texts = [_text(row, column) for column in columns]
    name = row.cells.get("id", index)
    if isinstance(name, float) and not math.isfinite(name):  # a missing number, as pandas writes it
        name = None
    return Record(name, *texts)


def slices(records: Iterator[Record]) -> Iterator[list[Record]]:
    """Consecutive records, as many at a time as memory is meant to hold."""
    part: list[Record] = []
    characters = 0
    for record in records:
        part.append(record)
        characters += len(record.text)
        if len(part) >= SLICE_RECORDS or characters >= SLICE_CHARACTERS:
            yield part
            part, characters = [], 0
    if part:
        yield part


def _read_txt(path: str | PathLike[str], columns: tuple[str, ...]) -> Iterator[Row]:
    for number, line in read_lines(path):
        yield Row(f"{path}, line {number}", {columns[0]: line})


def _read_jsonl(path: str | PathLike[str], columns: tuple[str, ...]) -> Iterator[Row]:
    for number, line in read_lines(path):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{where}: not JSON ({error})") from None
        if not isinstance(value, dict) and not columns:
            raise InputError(
                f"{where}: {type(value).__name__} instead of an object: expected columns by name"
            )
        yield Row(where, value if isinstance(value, dict) else {columns[0]: value})


def _read_tsv(path: str | PathLike[str], columns: tuple[str, ...]) -> Iterator[Row]:
    lines = ((number, line.split("\t")) for number, line in read_lines(path) if line.strip())
    yield from _table(path, columns, lines)


def _read_csv(path: str | PathLike[str], columns: tuple[str, ...]) -> Iterator[Row]:
    # Of the whole process, there is no other way. It is only ever raised: putting it back would take it from
    # a reader in another thread.
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_CELL))
    with open_bytes(path) as raw:
        file = io.TextIOWrapper(raw, "utf-8-sig", newline="")
        reader = csv.reader(file, strict=True)
        try:
            yield from _table(path, columns, ((reader.line_num, cells) for cells in reader if cells))
        except csv.Error as error:
            raise InputError(
                f"{path}, line {reader.line_num}: not comma-separated with quotes ({error}): tables that are"
                " separated by tabs are .tsv"
            ) from None
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path}, after line {reader.line_num}: not UTF-8 ({error.reason}): convert the file"
            ) from None
        finally:
            file.detach()  # or it would close standard input


def _table(
    path: str | PathLike[str], columns: tuple[str, ...], lines: Iterator[tuple[int, list[str]]]
) -> Iterator[Row]:
    """Rows of cells by column name, or by number where the first column asked for is a number.

    Where none is asked for, a row has all columns, with None for a cell that it lacks.
    """
    numbered = bool(columns) and columns[0].isdecimal()
    header = [] if numbered else next(lines, (1, []))[1]
    if not numbered:
        _check_columns(path, columns, header)
    lacking = {} if columns else dict.fromkeys(header)
    for number, cells in lines:
        names = map(str, range(len(cells))) if numbered else header
        yield Row(f"{path}, line {number}", {**lacking, **dict(zip(names, cells, strict=False))})


def _read_parquet(path: str | PathLike[str], columns: tuple[str, ...]) -> Iterator[Row]:
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError:
        raise MissingExtraError("pyarrow", "parquet", f"reading {path}") from None
    with open_bytes(path) as raw:
        in_memory = str(path) == STDIN or compression(path)  # what is not a plain file has no random access
        try:
            with parquet.ParquetFile(io.BytesIO(raw.read()) if in_memory else path) as file:
                yield from _parquet_rows(path, file, columns)
        except (arrow.ArrowException, OSError) as error:
            raise InputError(f"cannot read {path}: {error}") from None


def _parquet_rows(path: str | PathLike[str], file: Any, columns: tuple[str, ...]) -> Iterator[Row]:
    found = file.schema_arrow.names
    _check_columns(path, columns, found)
    wanted = [*columns, *({"id"} & set(found))] if columns else None
    index = 0
    for batch in file.iter_batches(batch_size=SLICE_RECORDS, columns=wanted):
        for cells in batch.to_pylist():
            yield Row(f"{path}, row {index}", cells)
            index += 1


def _check_columns(path: str | PathLike[str], wanted: tuple[str, ...], found: list[str]) -> None:
    missing = [column for column in wanted if column not in found]
    if missing:
        names = f"it has {', '.join(found)}: name one of them" if found else "it has none"
        raise InputError(f"{path}: no column {missing[0]!r}, {names}")


def _text(row: Row, column: str) -> str:
    text = row.cells.get(column)
    if not isinstance(text, str):
        found = f"{column!r} is {type(text).__name__}" if column in row.cells else f"no {column!r}"
        raise InputError(f"{row.where}: {found}, expected a string")
    return text


READERS: Mapping[str, Callable[[str | PathLike[str], tuple[str, ...]], Iterator[Row]]] = {
    ".txt": _read_txt,
    ".jsonl": _read_jsonl,
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".parquet": _read_parquet,
}
"""File suffix -> reader of a file and of the columns that are asked for; without any, of all."""
