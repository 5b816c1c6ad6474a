"""JSON lines, CSV and TSV, of which a shard is a range of bytes between two records."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from bertc.bulk.columnar import pyarrow
from bertc.bulk.parts import PART_CHARACTERS, PART_ROWS, Part, Rejected
from bertc.bulk.storage import InputFile
from bertc.errors import InputError

Columns = tuple[str, ...]
_BLOCK = 8 * 1024 * 1024
_LINE_FEED, _QUOTE = 10, 34
LONGEST_RECORD = 2**28
"""The bytes of a record, which is read whole."""


def plan_lines(file: InputFile, shard_rows: int) -> Iterator[tuple[int, int, int]]:
    """Yield byte ranges of so many lines."""
    yield from _cut(file, 0, shard_rows, quoted=False)


def read_json_lines(
    file: InputFile, begin: int, end: int, first_row: int, columns: Columns, id_column: str | None
) -> Iterator[Part]:
    """Yield the rows of a range of bytes: objects, or strings where one column is asked for.

    Blank lines are no rows; what is no JSON, or has no text, is rejected.
    """
    yield from _read(
        _records(file, begin, end, quoted=False),
        first_row,
        lambda line: _json_row(line, columns, id_column),
        has_ids=id_column is not None,
    )


def table_columns(file: InputFile) -> list[tuple[str, Any]]:
    """Return the names of the columns, which are in the first line, and their type. Raises ``InputError``."""
    return [(name, pyarrow("bulk jobs").string()) for name in _header(file)[0]]


def plan_table(file: InputFile, shard_rows: int) -> Iterator[tuple[int, int, int]]:
    """Yield byte ranges of so many records behind the header."""
    yield from _cut(file, _header(file)[1], shard_rows, quoted=_is_quoted(file))


def read_table(
    file: InputFile, begin: int, end: int, first_row: int, columns: Columns, id_column: str | None
) -> Iterator[Part]:
    """Yield the rows of a range of bytes. Records with more or fewer cells than the header are rejected."""
    header, quoted = _header(file)[0], _is_quoted(file)
    places = [header.index(name) for name in columns]
    id_place = None if id_column is None else header.index(id_column)
    yield from _read(
        _records(file, begin, end, quoted=quoted),
        first_row,
        lambda record: _cells(record, quoted, len(header), places, id_place),
        has_ids=id_place is not None,
    )


def _read(
    records: Iterator[bytes],
    first_row: int,
    take_apart: Callable[[bytes], tuple[tuple[str | None, ...], str | None]],
    *,
    has_ids: bool,
) -> Iterator[Part]:
    """Yield the rows of records; ``take_apart`` returns texts and id, or raises ``ValueError``."""
    arrow = pyarrow("bulk jobs")
    for group in _grouped(records, first_row):
        part, ids = Part(), list[str | None]()
        for row, record in group:
            if not record.strip():
                continue
            try:
                texts, name = take_apart(record)
            except ValueError as error:  # of JSON, UTF-8 or CSV, or raised by us
                part.rejected.append(Rejected(row, str(error)))
                continue
            part.rows.append(row)
            part.texts.append(texts)
            ids.append(name)
        if has_ids:
            part.ids = arrow.array(ids, arrow.string())
        yield part


def _json_row(line: bytes, columns: Columns, id_column: str | None) -> tuple[tuple[Any, ...], str | None]:
    try:
        value = json.loads(line.decode("utf-8-sig"))
    except RecursionError:
        raise ValueError("not JSON (it is nested too deeply)") from None
    except ValueError as error:
        raise ValueError(f"not JSON ({error})") from None
    if isinstance(value, str) and len(columns) == 1 and id_column is None:
        return (value,), None
    if not isinstance(value, dict):
        raise ValueError(f"{type(value).__name__}, expected an object")
    for name in (*columns, *([] if id_column is None else [id_column])):
        if name not in value:
            raise ValueError(f"no {name!r}")
    texts = tuple(value[name] for name in columns)
    for name, text in zip(columns, texts, strict=True):
        if text is not None and not isinstance(text, str):
            raise ValueError(f"{name!r} is {type(text).__name__}, expected a string")
    given = None if id_column is None else value[id_column]
    if isinstance(given, str):
        given.encode()  # half of a surrogate pair, which JSON can spell, is no id: raises ValueError
    return texts, None if given is None else given if isinstance(given, str) else json.dumps(given)


def _cells(
    record: bytes, quoted: bool, width: int, places: list[int], id_place: int | None
) -> tuple[tuple[str, ...], str | None]:
    cells = _split(record.decode("utf-8"), quoted)
    if len(cells) != width:
        raise ValueError(f"{len(cells)} cells, the first line has {width}")
    return tuple(cells[place] for place in places), None if id_place is None else cells[id_place]


def _split(text: str, quoted: bool) -> list[str]:
    text = text.removesuffix("\n").removesuffix("\r")
    if not quoted:
        return text.split("\t")
    csv.field_size_limit(
        max(csv.field_size_limit(), LONGEST_RECORD)
    )  # of the process: it is only ever raised
    try:
        return next(csv.reader([text], strict=True))
    except csv.Error as error:
        raise ValueError(f"not comma-separated with quotes ({error})") from None


def _is_quoted(file: InputFile) -> bool:
    return file.suffix == ".csv"


def _header(file: InputFile) -> tuple[list[str], int]:
    """Return the names in the first record, and where the second one begins."""
    first = next(_records(file, 0, file.size, quoted=_is_quoted(file)), b"")
    try:
        names = _split(first.decode("utf-8-sig"), _is_quoted(file)) if first.strip() else []
    except ValueError as error:
        raise InputError(
            f"{file.path}, line 1: {error}: write names of columns in UTF-8, and line feeds at the ends of "
            "lines"
        ) from None
    if not names:
        raise InputError(f"{file.path}: the first line is empty, expected the names of the columns")
    return names, len(first)


def _cut(file: InputFile, start: int, shard_rows: int, *, quoted: bool) -> Iterator[tuple[int, int, int]]:
    begin, rows, end = start, 0, start
    for end, count in _ends(file, start, shard_rows, quoted=quoted):
        rows += count
        if rows == shard_rows:
            yield begin, end, rows
            begin, rows = end, 0
    if file.size > end:  # the last line has no line feed
        end, rows = file.size, rows + 1
    if end > begin:
        yield begin, end, rows


def _ends(file: InputFile, start: int, every: int, *, quoted: bool) -> Iterator[tuple[int, int]]:
    """Yield where records end, at each ``every``-th of them and at the last: (byte, records since before).

    A line feed within quotes ends none: one with an odd number of quotes before it (RFC 4180).
    """
    position, waiting, last, open_quote = start, 0, start, False
    with file.open() as raw:
        raw.seek(start)
        while block := raw.read(_BLOCK):
            data = np.frombuffer(block, np.uint8)
            ends = np.flatnonzero(data == _LINE_FEED)
            if quoted:
                quotes = np.flatnonzero(data == _QUOTE)
                ends = ends[(np.searchsorted(quotes, ends) + open_quote) % 2 == 0]
                open_quote = bool((len(quotes) + open_quote) % 2)
            for index in range(every - waiting - 1, len(ends), every):
                last = position + int(ends[index]) + 1
                yield last, every
            if len(ends):
                waiting = (waiting + len(ends)) % every
                last = position + int(ends[-1]) + 1
            position += len(block)
    if open_quote:
        raise InputError(f"{file.path}: a quote is never closed: write quotes inside of cells twice")
    if waiting:
        yield last, waiting


def _records(file: InputFile, begin: int, end: int, *, quoted: bool) -> Iterator[bytes]:
    """Yield the records of a range of bytes, their ends included; ``InputError`` for one without an end."""
    with file.open() as raw:
        raw.seek(begin)
        left, record = end - begin, b""
        while left > 0:
            line = raw.readline(min(left, LONGEST_RECORD))
            if not line:
                raise InputError(f"{file.path} became shorter while it was read")
            left -= len(line)
            record += line
            if len(record) >= LONGEST_RECORD:
                raise InputError(f"{file.path}: a record of more than {LONGEST_RECORD:,} bytes: cut it")
            if not quoted or record.count(b'"') % 2 == 0:
                yield record
                record = b""
        if record:
            yield record


def _grouped(records: Iterator[bytes], first_row: int) -> Iterator[list[tuple[int, bytes]]]:
    """Yield records with their numbers, so many that memory stays bounded."""
    part: list[tuple[int, bytes]] = []
    size = 0
    for row, record in enumerate(records, first_row):
        part.append((row, record))
        size += len(record)
        if len(part) >= PART_ROWS or size >= PART_CHARACTERS:
            yield part
            part, size = [], 0
    if part:
        yield part
