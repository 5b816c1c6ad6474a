"""The formats that jobs read in parts: parquet, Arrow IPC, JSON lines, CSV and TSV."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bertc.bulk import columnar, text_files
from bertc.bulk.parts import Part
from bertc.bulk.storage import InputFile

Columns = tuple[str, ...]
Cuts = Iterator[tuple[int, int, int]]
"""Where each shard begins and ends, in rows or bytes, and how many rows it has."""


@dataclass(frozen=True)
class Format:
    """How a kind of file is divided, and read. All raise ``InputError``."""

    columns: Callable[[InputFile], list[tuple[str, Any]] | None]
    """Returns the names of a file's columns and their Arrow types; None where each row has its own."""
    plan: Callable[[InputFile, int], Cuts]
    """Cuts a file into shards of so many rows."""
    read: Callable[[InputFile, int, int, int, Columns, str | None], Iterator[Part]]
    """Yields the rows from a begin to an end, of which the first has such a number: the texts of some
    columns, and the ids of one."""


_PARQUET = Format(columnar.parquet_columns, columnar.plan_parquet, columnar.read_parquet)
_ARROW = Format(columnar.arrow_columns, columnar.plan_arrow, columnar.read_arrow)
_LINES = Format(lambda _: None, text_files.plan_lines, text_files.read_json_lines)
_TABLE = Format(text_files.table_columns, text_files.plan_table, text_files.read_table)

FORMATS: Mapping[str, Format] = {
    ".parquet": _PARQUET,
    ".arrow": _ARROW,
    ".feather": _ARROW,
    ".jsonl": _LINES,
    ".ndjson": _LINES,
    ".csv": _TABLE,
    ".tsv": _TABLE,
}
"""The ending of a name -> the format."""
