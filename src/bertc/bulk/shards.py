"""The unit of a job: consecutive rows of a file, enough to be worth a file of results."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from bertc.bulk.columnar import is_text, pyarrow
from bertc.bulk.formats import FORMATS, Format
from bertc.bulk.storage import InputFile, find_files
from bertc.errors import InputError

SHARD_ROWS = 65536
"""The most rows of a shard: half a minute of work for a small model on two cores."""


@dataclass(frozen=True)
class Shard:
    """Rows of a file, one after the other."""

    file: InputFile
    number: int
    """The number of the shard in its file."""
    begin: int
    end: int
    """Where the rows are: row numbers, or in text files bytes."""
    first_row: int
    rows: int

    def id(self, job: str) -> str:
        """Return a hash of what the shard reads, and of ``job``, which stands for what is made of it."""
        facts = f"{job}\n{self.file.name}\n{self.file.fingerprint}\n{self.begin} {self.end} {self.rows}"
        return hashlib.sha256(facts.encode(errors="surrogateescape")).hexdigest()

    def output_name(self, job: str) -> str:
        """Return the name of the file of results; sorted by name, those of a file follow its rows."""
        stem = os.fsencode(PurePosixPath(self.file.name).stem[:60])[:180].decode(errors="ignore")
        return f"{stem}-{self.number:05d}-{self.id(job)[:12]}.parquet"


def plan_shards(
    where: str,
    columns: tuple[str, ...],
    id_column: str | None = None,
    shard_rows: int = SHARD_ROWS,
    output: Path | None = None,
) -> list[Shard]:
    """Return the shards of all files of a path, in their order, but of those in the folder ``output``.

    Every file is opened: ``InputError`` for one that cannot be read, that lacks a column, or whose texts are
    no strings.
    """
    files = find_files(where, FORMATS, output)
    for file in files:
        _check_columns(file, columns, id_column)
    return [shard for file in files for shard in _shards(file, _format_of(file), shard_rows)]


def choose_ids(shards: Sequence[Shard], column: str | None) -> str | None:
    """Return the column of ids: the one that is named, else ``id`` if all files surely have it, of one kind.

    Of JSON lines nobody knows. Raises ``InputError`` for ids that parquet cannot hold, and for named ones of
    different kinds: results with both could not be read as one table.
    """
    name, kinds = column or "id", dict[str, str]()
    for file in {shard.file.path: shard.file for shard in shards}.values():
        found = _format_of(file).columns(file)
        own = [(column, pyarrow("reading ids").string())] if found is None else found
        types = [kind for each, kind in own if each == name]
        if len(types) != 1:
            return None
        kinds.setdefault(_kind_of_ids(file, name, types[0]), file.path)
    kinds.pop("null", None)
    if len(kinds) > 1 and column is not None:
        (kind, path), (other, where), *_ = kinds.items()
        raise InputError(
            f"{where}: the ids in {name!r} are {other}, those of {path} {kind}: make them alike, or name "
            "another column"
        )
    return name if len(kinds) < 2 else None


def _kind_of_ids(file: InputFile, name: str, kind: Any) -> str:
    """Return a word for all types of ids that readers take for one."""
    arrow = pyarrow("reading ids")
    from pyarrow import parquet

    try:
        parquet.ParquetWriter(io.BytesIO(), arrow.schema([(name, kind)])).close()
    except arrow.ArrowException:
        raise InputError(
            f"{file.path}: the column {name!r} is {kind}, which parquet cannot hold: name another column of "
            "ids"
        ) from None
    if is_text(kind):
        return "strings"
    return "integers" if arrow.types.is_integer(kind) else str(kind)


def _shards(file: InputFile, form: Format, shard_rows: int) -> Iterator[Shard]:
    first = 0
    for number, (begin, end, rows) in enumerate(form.plan(file, shard_rows)):
        yield Shard(file, number, begin, end, first, rows)
        first += rows


def _check_columns(file: InputFile, columns: tuple[str, ...], id_column: str | None) -> None:
    found = _format_of(file).columns(file)
    if found is None:
        return
    names = [name for name, _ in found]
    for column in (*columns, *([] if id_column is None else [id_column])):
        if column not in names:
            raise InputError(
                f"{file.path}: no column {column!r}, it has {', '.join(names)}: name one of them"
            )
        if names.count(column) > 1:
            raise InputError(f"{file.path}: {names.count(column)} columns are called {column!r}: rename one")
    types = pyarrow("reading texts").types
    for column in columns:
        if not is_text(dict(found)[column]) and not types.is_null(dict(found)[column]):
            raise InputError(f"{file.path}: the column {column!r} is {dict(found)[column]}, expected strings")


def _format_of(file: InputFile) -> Format:
    form = FORMATS.get(file.suffix)
    if form is None:
        raise InputError(
            f"{file.path}: cannot read {file.suffix or 'a file without suffix'} in parts: use "
            f"{', '.join(FORMATS)}"
        )
    return form
