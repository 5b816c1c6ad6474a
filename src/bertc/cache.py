"""The cache of compiled models: a checkpoint that is loaded by its folder or hub id is compiled once.

``$BERTC_CACHE``, else the platform's folder for caches, holds the files, named after the hash of the
checkpoint's files, the recipe and this version. A note beside them, named after the checkpoint's place and
the sizes and times of its files, spares the second start that hash. Notes are touched when they are used:
the model whose notes are oldest goes first when the cache is larger than ``$BERTC_CACHE_LIMIT``.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from bertc.atomic_file import replace_atomically
from bertc.errors import ArtifactError, InputError
from bertc.files.hashing import hash_of
from bertc.runtime import environment
from bertc.runtime.environment import cache_folder
from bertc.version import __version__

if sys.platform != "win32":
    import fcntl

DEFAULT_LIMIT = 20 * 10**9
"""The largest size of the cache in bytes, if ``$BERTC_CACHE_LIMIT`` says nothing."""
_SUFFIX = ".bertc"
_READ = (".json", ".txt", ".safetensors", ".bin", ".model")
"""The endings of files that front ends read."""
_ABANDONED_SECONDS = 3600
"""The age of a file that nobody is still writing: to write one takes seconds."""
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


@dataclass(frozen=True)
class CachedModel:
    """A compiled model in the cache."""

    path: Path
    bytes: int
    last_used: float
    """Seconds since the epoch."""


def size_limit() -> int:
    """Return the largest size of the cache in bytes. Raises ``InputError`` for a limit that is no size."""
    said = environment.cache_limit()
    text = said.strip().upper().removesuffix("B")
    if not text:
        return DEFAULT_LIMIT
    unit = text[-1] if text[-1] in _UNITS else ""
    try:
        limit = int(float(text.removesuffix(unit)) * _UNITS[unit])
    except (ValueError, OverflowError):
        limit = -1
    if limit < 0:
        raise InputError(f"BERTC_CACHE_LIMIT is {said!r}: expected a size such as 20GB")
    return limit


class Entry:
    """The place in the cache of one checkpoint, compiled in one way."""

    def __init__(self, checkpoint: Path, options: Any, data: Iterable[str] = ()) -> None:
        """Look at the files as they are now.

        ``options`` is plain data: everything that compiling depends on beside the checkpoint's files, and
        ``data``, which are files and folders that the recipe names. Raises ``OSError``.
        """
        self._options = json.dumps([__version__, options], sort_keys=True, default=str)
        self._files = {
            f"{number}/{file.relative_to(root)}": file
            for number, root in enumerate([checkpoint, *map(Path, data)])
            for file in sorted(_files_below(root))
            if number or file == root or file.suffix in _READ
        }
        self._added: list[Path] = []
        self._seen = self._facts()
        self._note = cache_folder() / "notes" / _digest(json.dumps(self._seen), self._options)

    def add(self, files: Iterable[Path]) -> None:
        """Look at more files of the model, which its own file names: the note has to say what they were."""
        self._added = [*files]
        self._files |= {f"added/{file.name}": file for file in self._added}
        self._seen = self._facts()

    def _facts(self) -> list[tuple[str, int, int, int]]:
        """Return what changes when a file does; its time of change cannot be set, unlike that of writing."""
        return _facts_of(self._files.values())

    def has_changed(self) -> bool:
        """Return whether a file is no longer what it was."""
        try:
            return self._facts() != self._seen
        except OSError:
            return True

    def find(self) -> Path | None:
        """Return the compiled file if the cache has it for the checkpoint as it is here now, else None."""
        with contextlib.suppress(OSError, ValueError):
            name, _, added = self._note.read_text("utf-8").partition("\n")
            named = cache_folder() / Path(name).name
            if named.is_file() and _are_unchanged(added):
                with contextlib.suppress(OSError):  # a cache that is only read, or of another user
                    os.utime(self._note)
                return named
        return None

    def place(self, name: str) -> Path:
        """Return where the compiled file belongs; ``name`` is for people. Reads the whole checkpoint."""
        hashes = []
        for relative, file in self._files.items():
            with file.open("rb") as stream:
                hashes.append(f"{relative}: {hash_of(stream)}")
        readable = "".join(c if c.isalnum() or c in "-_." else "-" for c in name)[-80:]
        return cache_folder() / f"{readable}-{_digest(*hashes, self._options)[:16]}{_SUFFIX}"

    def remember(self, compiled: Path) -> None:
        """Note that this checkpoint is the compiled one; without the note the next start hashes it again."""
        with contextlib.suppress(OSError):
            self._note.parent.mkdir(parents=True, exist_ok=True)
            with replace_atomically(self._note) as note:
                added = f"\n{json.dumps(_facts_of(self._added))}" if self._added else ""
                note.write(f"{compiled.name}{added}".encode())


@contextlib.contextmanager
def compiling(path: Path) -> Iterator[None]:
    """Hold a lock while the block runs, so that processes which start together compile a model once.

    Raises ``ArtifactError`` if the cache cannot be written to.
    """
    lock = path.with_suffix(".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = _locked(lock)
    except OSError as error:
        raise ArtifactError(
            f"the cache {path.parent} cannot be written to ({error.strerror}): set BERTC_CACHE to another "
            "folder, or compile to a file with bertc compile"
        ) from None
    with stream:
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def _locked(path: Path) -> IO[bytes]:
    """Return the open file of a lock that this process holds, once nobody else does. Raises ``OSError``."""
    while True:
        stream = path.open("ab")
        try:
            if sys.platform != "win32":
                fcntl.flock(stream, fcntl.LOCK_EX)
            if os.path.samestat(os.fstat(stream.fileno()), path.stat()):
                return stream
        except FileNotFoundError:
            pass  # whoever held the lock has removed its file
        except BaseException:
            stream.close()
            raise
        stream.close()


def cached_models() -> list[CachedModel]:
    """Return the models in the cache, the one that was used last first."""
    folder = cache_folder()
    used: dict[str, float] = {}
    for note in folder.glob("notes/*"):
        with contextlib.suppress(OSError, UnicodeError):
            name = _named_by(note)
            used[name] = max(used.get(name, 0.0), note.stat().st_mtime)
    found = []
    for path in folder.glob(f"*{_SUFFIX}"):
        with contextlib.suppress(OSError):
            facts = path.stat()
            found.append(CachedModel(path, facts.st_size, used.get(path.name, facts.st_mtime)))
    return sorted(found, key=lambda model: -model.last_used)


def clear(keep_bytes: int = 0) -> list[CachedModel]:
    """Remove models, those first that were not used for longest, until ``keep_bytes`` are left at most.

    Unless nothing shall be kept, the model that was used last stays whatever its size. One that a process has
    in use stays mapped there. What processes left that were killed while they wrote goes too. Returns the
    models that were removed.
    """
    for rest in cache_folder().glob(".*.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - rest.stat().st_mtime > _ABANDONED_SECONDS:
                rest.unlink()
    removed, kept = [], 0
    for index, model in enumerate(cached_models()):
        kept += model.bytes
        if kept > keep_bytes and (index or not keep_bytes):
            model.path.unlink(missing_ok=True)
            removed.append(model)
    for note in cache_folder().glob("notes/*"):
        with contextlib.suppress(OSError, UnicodeError):
            if not (cache_folder() / _named_by(note)).is_file():
                note.unlink(missing_ok=True)
    return removed


def _facts_of(files: Iterable[Path]) -> list[tuple[str, int, int, int]]:
    found = ((file.absolute(), file.stat()) for file in files)
    return [(str(file), now.st_size, now.st_mtime_ns, now.st_ctime_ns) for file, now in found]


def _are_unchanged(facts: str) -> bool:
    """Return whether files are what a note says of them, if it names any."""
    if not facts:
        return True
    said = json.loads(facts)
    return bool([[*each] for each in _facts_of(Path(each[0]) for each in said)] == said)


def _named_by(note: Path) -> str:
    """Return the name of the compiled file that a note leads to."""
    return Path(note.read_text("utf-8").partition("\n")[0]).name


def _files_below(root: Path) -> Iterator[Path]:
    """Yield the files of a folder, behind links too, or the file itself; nothing for what is not there."""
    if root.is_file():
        yield root
    seen = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:  # a link to a folder above
            folders.clear()
            continue
        seen.add(real)
        yield from (path for name in files if (path := Path(folder, name)).is_file())


def _digest(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode(errors="surrogateescape")).hexdigest()
