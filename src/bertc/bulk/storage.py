"""Where the files of a job are: folders, globs and single files of this machine or of what fsspec reaches."""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from bertc.errors import InputError, MissingExtraError

_SAMPLE = 65536
"""The bytes at the beginning and at the end of a file that its fingerprint looks at; parquet and Arrow files
end with an index of all the rest."""

_HIDDEN = (".", "_")


@dataclass(frozen=True)
class InputFile:
    """A file of rows, as it was when the job was planned."""

    path: str
    name: str
    """The path below the folder that the job reads."""
    size: int
    fingerprint: str
    """A hash of size, time and samples of the content."""

    @property
    def suffix(self) -> str:
        """The ending of the name, which says the format."""
        return PurePosixPath(self.name).suffix.lower()

    def open(self) -> AbstractContextManager[IO[bytes]]:
        """Open the file at its beginning. Raises ``OSError``, or ``InputError`` where fsspec is missing."""
        return _open(self.path)

    def check_unchanged(self) -> None:
        """Raise ``UnmendableError`` if the file is no longer what it was, ``InputError`` if it is gone."""
        if fingerprint(self.path) != self.fingerprint:
            raise UnmendableError(
                f"{self.path} has changed since the job began, whose results are of what it was: begin again "
                "in a new folder"
            )


class UnmendableError(InputError):
    """Raised for the end of a job that cannot go on as it was begun."""


def is_url(path: str) -> bool:
    """Tell whether a path is one that fsspec knows, such as s3://bucket/folder."""
    return "://" in path


def find_files(where: str, suffixes: Collection[str], output: Path | None = None) -> list[InputFile]:
    """Return the files of a path, a folder with all below it, or a glob, in the order of their names.

    In folders and globs, files of other suffixes are left out, those whose names begin with . or _, and what
    is in the folder ``output``, of this machine. Raises ``InputError`` where there are none.
    """
    try:
        paths, base = _list_url(where) if is_url(where) else _list_local(where)
        single = paths == [where]
        chosen = paths if single else [path for path in paths if _belongs(path, base, suffixes)]
        if output is not None and not single and not is_url(where):
            folder, found = output.resolve(), len(chosen)
            chosen = [path for path in chosen if folder not in Path(path).resolve().parents]
            if found and not chosen:
                raise InputError(
                    f"{where}: its files are in {output}, the folder of results: name a new folder"
                )
        if not chosen:
            raise InputError(
                f"{where}: no files that end in {', '.join(suffixes)}: name a file, a folder or a pattern"
            )
        return [_input_file(path, base) for path in sorted(chosen)]
    except OSError as error:
        raise InputError(f"cannot read {error.filename or where}: {error.strerror or error}") from None


def fingerprint(path: str) -> str:
    """Return a hash of a file's size and time, its first bytes and its last ones. Raises ``InputError``."""
    try:
        if is_url(path):
            facts = _filesystem(path).info(path)
            stamp, size = str(facts.get("mtime") or facts.get("LastModified") or ""), int(facts["size"])
        else:
            status = Path(path).stat()
            stamp, size = str(status.st_mtime_ns), status.st_size
        with _open(path) as file:
            digest = hashlib.sha256(f"{size} {stamp} ".encode() + file.read(_SAMPLE))
            if size > _SAMPLE:
                file.seek(max(size - _SAMPLE, _SAMPLE))
                digest.update(file.read())
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    return digest.hexdigest()


def _input_file(path: str, base: str) -> InputFile:
    size = int(_filesystem(path).info(path)["size"]) if is_url(path) else Path(path).stat().st_size
    name = path.removeprefix(base).lstrip("/") if base else PurePosixPath(path).name
    return InputFile(path, name, size, fingerprint(path))


def _list_local(where: str) -> tuple[list[str], str]:
    """Return paths, and the folder that is left out of their names."""
    if Path(where).is_dir():
        return list(_walk(where)), where
    if glob.has_magic(where) and not Path(where).exists():
        base = _fixed(where)
        found = Path(base).glob(where.removeprefix(base).lstrip("/"))
        return [str(path) for path in found if path.is_file()], base
    Path(where).stat()
    return [where], ""


def _walk(folder: str) -> Iterator[str]:
    """Yield the files below a folder. Raises ``OSError`` for one that cannot be read, and may hold rows."""
    entries = list(os.scandir(folder))
    for entry in entries:
        if entry.is_dir(follow_symlinks=False) and not entry.name.startswith(_HIDDEN):
            yield from _walk(entry.path)
        elif entry.is_file():
            yield entry.path


def _list_url(where: str) -> tuple[list[str], str]:
    system = _filesystem(where)
    if glob.has_magic(where):
        return [system.unstrip_protocol(path) for path in system.glob(where)], _fixed(where)
    if system.isdir(where):
        return [system.unstrip_protocol(path) for path in system.find(where)], where
    return [where], ""


def _fixed(pattern: str) -> str:
    """Return the folders of a pattern before the first one with a wildcard."""
    parts = pattern.split("/")
    count = next(index for index, part in enumerate(parts) if glob.has_magic(part))
    return "/".join(parts[:count])


def _belongs(path: str, base: str, suffixes: Collection[str]) -> bool:
    parts = path.removeprefix(base).lstrip("/").split("/")
    hidden = any(part.startswith(_HIDDEN) for part in parts)
    return not hidden and PurePosixPath(path).suffix.lower() in suffixes


def _open(path: str) -> AbstractContextManager[IO[bytes]]:
    if is_url(path):
        opened: AbstractContextManager[IO[bytes]] = _filesystem(path).open(path, "rb")
        return opened
    return Path(path).open("rb")


def _filesystem(path: str) -> Any:
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise MissingExtraError("fsspec", "remote", f"reading {path}") from None
    try:
        return url_to_fs(path)[0]
    except (ImportError, ValueError) as error:
        raise InputError(f"{path}: {error}") from None
