"""The unit of a job: consecutive rows of a file, enough to be worth a file of results."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

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
        stem = PurePosixPath(self.file.name).stem[:60]
        return f"{stem}-{self.number:05d}-{self.id(job)[:12]}.parquet"


def plan_shards(
    where: str, columns: tuple[str, ...], id_column: str | None = None, shard_rows: int = SHARD_ROWS
) -> list[Shard]:
    """Return the shards of all files of a path, in their order.

    Every file is opened: ``InputError`` for one that cannot be read, or that lacks a column.
    """
    files = find_files(where, FORMATS)
    for file in files:
        _check_columns(file, (*columns, *([] if id_column is None else [id_column])))
    return [shard for file in files for shard in _shards(file, _format_of(file), columns, shard_rows)]


def have_column(shards: Sequence[Shard], column: str) -> bool:
    """Tell whether all files of shards surely have a column: of JSON lines, nobody knows."""
    files = {shard.file.path: shard.file for shard in shards}.values()
    return all(column in (_format_of(file).columns(file) or ()) for file in files)


def _shards(file: InputFile, form: Format, columns: tuple[str, ...], shard_rows: int) -> Iterator[Shard]:
    first = 0
    for number, (begin, end, rows) in enumerate(form.plan(file, columns, shard_rows)):
        yield Shard(file, number, begin, end, first, rows)
        first += rows


def _check_columns(file: InputFile, columns: tuple[str, ...]) -> None:
    names = _format_of(file).columns(file)
    for column in columns:
        if names is not None and column not in names:
            raise InputError(
                f"{file.path}: no column {column!r}, it has {', '.join(names)}: name one of them"
            )


def _format_of(file: InputFile) -> Format:
    form = FORMATS.get(file.suffix)
    if form is None:
        raise InputError(
            f"{file.path}: cannot read {file.suffix or 'a file without suffix'} in parts: use "
            f"{', '.join(FORMATS)}"
        )
    return form
