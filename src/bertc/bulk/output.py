"""The folder that a job writes: a parquet file for each shard, a manifest, and ``_SUCCESS`` at the end.

The manifest has a JSON object in each line: first what the job is, then each shard that is finished. The file
of a shard is written beside its place, synced and renamed; then its line is added. So whatever stops the job,
every file that the manifest names is whole. Names that begin with _ are left out by readers of such folders.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from bertc.atomic_file import replace_atomically
from bertc.bulk.columnar import pyarrow
from bertc.errors import InputError
from bertc.files.hashing import hash_of

MANIFEST, SUCCESS, REJECTED = "_manifest.jsonl", "_SUCCESS", "_rejected"
KIND, VERSION = "bertc bulk job", 1


@dataclass(frozen=True)
class Finished:
    """What the manifest says of a shard."""

    shard: str
    """The id: a hash of the rows that it reads, the model and the options."""
    source: str
    file: str
    rows: int
    """The rows in the file of results."""
    rejected: int
    truncated: int
    tokens: int
    seconds: float
    bytes: int
    sha256: str
    """Of the file of results."""


class OutputFolder:
    """The folder of a job, locked while it is open."""

    def __init__(self, path: Path, facts: Mapping[str, Any], *, resume: bool) -> None:
        """Open the folder, which may be new, for a job that is described by ``facts``.

        Raises ``InputError`` for a folder with other files, of another job (it names what differs), of one
        that is to be resumed without saying so, or that another process writes to.
        """
        self.path = path
        self.finished: dict[str, Finished] = {}
        """Shards by their ids."""
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lines = self._begin(facts, resume)
        except OSError as error:
            raise InputError(f"cannot write {error.filename or path}: {error.strerror or error}") from None

    def __enter__(self) -> OutputFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # of what it could not write and has told of
            self._lines.close()

    def check_known(self, planned: Collection[str]) -> None:
        """Raise ``InputError`` if a finished shard is none of those that are planned now, by their ids.

        If some of these are not finished, the job no longer is.
        """
        for name, shard in self.finished.items():
            if name not in planned:
                raise InputError(
                    f"{shard.source} has changed, or is gone, since {shard.file} was made of it: name a new "
                    "folder"
                )
        if len(self.finished) < len(planned):
            (self.path / SUCCESS).unlink(missing_ok=True)

    def add(self, shard: Finished) -> None:
        """Add a shard, whose file is in its place, to the manifest. Raises ``InputError``."""
        try:
            _append(self._lines, asdict(shard))
        except OSError as error:
            raise InputError(f"cannot write {self.path / MANIFEST}: {error.strerror or error}") from None
        self.finished[shard.shard] = shard

    def succeed(self) -> None:
        """Say that all shards are there. Raises ``InputError``."""
        try:
            self._remove_drafts()
            (self.path / SUCCESS).touch()
            _sync_folder(self.path)
        except OSError as error:
            raise InputError(f"cannot write {self.path / SUCCESS}: {error.strerror or error}") from None

    def _remove_drafts(self) -> None:
        """Remove what processes left that died while they wrote a shard."""
        for left in self.path.glob(".*.tmp"):
            left.unlink()

    def _begin(self, facts: Mapping[str, Any], resume: bool) -> IO[bytes]:
        manifest = self.path / MANIFEST
        if not manifest.exists() and any(self.path.iterdir()):
            raise InputError(f"{self.path} has files that are of no job: name a new folder")
        file = manifest.open("ab+")
        try:
            _lock(file, self.path)
            file.seek(0)
            lines = file.read()
            whole, _, torn = lines.rpartition(b"\n")
            if not whole:
                file.truncate(0)
                _append(file, {"kind": KIND, "version": VERSION, **facts})
                return file
            entries = _parse(manifest, whole)
            self._check_same(entries[0], facts, resume)
            if torn:  # the job was stopped while it wrote the line
                file.truncate(len(whole) + 1)
            finished = (Finished(**entry) for entry in entries[1:])
            self.finished = {shard.shard: shard for shard in finished if self._has(shard)}
            self._remove_drafts()
        except BaseException:
            file.close()
            raise
        return file

    def _has(self, shard: Finished) -> bool:
        """Tell whether the file of a shard is there; one that somebody took away, or cut, is made again."""
        path = self.path / shard.file
        return path.is_file() and path.stat().st_size == shard.bytes

    def _check_same(self, found: Mapping[str, Any], facts: Mapping[str, Any], resume: bool) -> None:
        if found.get("kind") != KIND or found.get("version") != VERSION:
            raise InputError(f"{self.path / MANIFEST} is of another version of bertc: name a new folder")
        if not resume:
            state = "a finished job" if (self.path / SUCCESS).exists() else "a job that was stopped"
            raise InputError(f"{self.path} has {state}: go on with --resume, or name a new folder")
        wanted = json.loads(json.dumps(facts))
        for name, value in wanted.items():
            if found.get(name) != value:
                raise InputError(
                    f"{self.path} was made with another {name} ({_short(found.get(name))}, now "
                    f"{_short(value)}): name a new folder, or resume with what it was made with"
                )


@contextmanager
def shard_file(path: Path, fields: list[Any]) -> Iterator[Callable[[list[Any]], None]]:
    """Open a parquet file for rows of these Arrow fields; it appears when the block ends, or not at all.

    What is yielded appends columns. Raises ``InputError`` where the disk refuses.
    """
    arrow = pyarrow("writing .parquet")
    from pyarrow import parquet

    schema = arrow.schema(fields)
    plain = [each.name for each in fields if each.name != "embedding"]
    try:
        with replace_atomically(path) as file:
            # Vectors do not compress: that would cost more than writing them.
            codecs = {name: "zstd" if name in plain else "none" for name in schema.names}
            with parquet.ParquetWriter(
                file, schema, compression=codecs, use_dictionary=plain, write_statistics=plain
            ) as writer:
                yield lambda columns: writer.write_table(arrow.table(columns, schema=schema))
        _sync_folder(path.parent)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from None


def write_rejected(folder: Path, name: str, rows: list[dict[str, Any]]) -> None:
    """Write the side file of a shard, one JSON object for each row that was left out; none if there is none.

    Raises ``InputError``.
    """
    path = folder / REJECTED / name.replace(".parquet", ".jsonl")
    try:
        if not rows:
            path.unlink(missing_ok=True)
            return
        path.parent.mkdir(exist_ok=True)
        with replace_atomically(path) as file:
            file.writelines(json.dumps(row).encode() + b"\n" for row in rows)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from None


def file_facts(path: Path) -> tuple[int, str]:
    """Return the size of a file and its SHA-256."""
    with path.open("rb") as file:
        return path.stat().st_size, hash_of(file)


def _parse(path: Path, lines: bytes) -> list[dict[str, Any]]:
    try:
        entries = [json.loads(line) for line in lines.splitlines()]
        for entry in entries[1:]:
            Finished(**entry)
    except (ValueError, TypeError):
        raise InputError(f"{path}: damaged: name a new folder") from None
    return entries


def _append(file: IO[bytes], value: Mapping[str, Any]) -> None:
    file.write(json.dumps(value).encode() + b"\n")
    file.flush()
    os.fsync(file.fileno())


def _lock(file: IO[bytes], path: Path) -> None:
    try:
        import fcntl
    except ImportError:  # not on Windows
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(f"another process writes to {path}: wait for it, or name a new folder") from None


def _sync_folder(path: Path) -> None:
    """Make a rename last through a power failure, where the system can."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
