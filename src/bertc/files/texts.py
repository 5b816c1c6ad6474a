"""Texts from a file, one record at a time: ``.txt``, ``.jsonl`` or ``.parquet``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from bertc.errors import InputError, MissingExtraError
from bertc.files.lines import STDIN, read_lines

SLICE_RECORDS = 4096
SLICE_CHARACTERS = 4 * 1024 * 1024
"""Enough to keep all threads busy, and little enough to hold in memory: 4096 vectors of 768 are 12 MB."""


class Record(NamedTuple):
    """A text and what to call it."""

    id: int | str
    """What the file says, else the number of the record, from 0."""
    text: str


def read_texts(path: str | PathLike[str], column: str = "text") -> Iterator[Record]:
    """The texts of a file, or of standard input for ``-`` (one per line).

    ``.txt``: a text per line, blank ones too. ``.jsonl``: per line a string, or an object with
    ``column`` and perhaps ``id``. ``.parquet``: the same two columns. Raises ``InputError`` with
    file and line for what is no text.
    """
    suffix = Path(path).suffix.lower()
    if str(path) == STDIN:
        return _read_txt(path, column)
    if suffix not in READERS:
        raise InputError(f"{path}: cannot read {suffix or 'a file without suffix'}: use {', '.join(READERS)}")
    return READERS[suffix](path, column)


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


def _read_txt(path: str | PathLike[str], _: str) -> Iterator[Record]:
    for number, line in read_lines(path):
        yield Record(number - 1, line)


def _read_jsonl(path: str | PathLike[str], column: str) -> Iterator[Record]:
    index = 0
    for number, line in read_lines(path):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{where}: not JSON ({error})") from None
        yield _record(value if isinstance(value, dict) else {column: value}, column, index, where)
        index += 1


def _read_parquet(path: str | PathLike[str], column: str) -> Iterator[Record]:
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError:
        raise MissingExtraError("pyarrow", "parquet", f"reading {path}") from None
    try:
        with parquet.ParquetFile(path) as file:
            names = [name for name in (column, "id") if name in file.schema_arrow.names]
            if column not in names:
                raise InputError(f"{path}: no column {column!r}, it has {', '.join(file.schema_arrow.names)}")
            index = 0
            for batch in file.iter_batches(batch_size=SLICE_RECORDS, columns=names):
                for row in batch.to_pylist():
                    yield _record(row, column, index, f"{path}, row {index}")
                    index += 1
    except (arrow.ArrowException, OSError) as error:
        raise InputError(f"cannot read {path}: {error}") from None


def _record(row: Mapping[str, Any], column: str, index: int, where: str) -> Record:
    text, name = row.get(column), row.get("id", index)
    if not isinstance(text, str):
        found = f"{column!r} is {type(text).__name__}" if column in row else f"no {column!r}"
        raise InputError(f"{where}: {found}, expected a string")
    if not isinstance(name, (int, str)):
        raise InputError(f"{where}: 'id' is {type(name).__name__}, expected a string or a whole number")
    return Record(name, text)


READERS: Mapping[str, Callable[[str | PathLike[str], str], Iterator[Record]]] = {
    ".txt": _read_txt,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
}
"""File suffix -> reader."""
