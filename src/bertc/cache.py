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
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertc.atomic_file import replace_atomically
from bertc.errors import ArtifactError, InputError
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
        return int(float(text.removesuffix(unit)) * _UNITS[unit])
    except (ValueError, OverflowError):
        raise InputError(f"BERTC_CACHE_LIMIT is {said!r}: expected a size such as 20GB") from None


class Entry:
    """The place in the cache of one checkpoint, compiled in one way."""

    def __init__(self, checkpoint: Path, options: Any) -> None:
        """``options`` is plain data: everything that compiling depends on beside the checkpoint's files."""
        self._checkpoint = checkpoint
        self._options = json.dumps([__version__, options], sort_keys=True, default=str)
        self._files = sorted(
            file for file in checkpoint.rglob("*") if file.suffix in _READ and file.is_file()
        )
        facts = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in self._files]
        self._note = cache_folder() / "notes" / _digest(json.dumps(facts), self._options)

    def find(self) -> Path | None:
        """Return the compiled file if the cache has it for the checkpoint as it is here now, else None."""
        with contextlib.suppress(OSError, UnicodeError):
            named = cache_folder() / Path(self._note.read_text("utf-8")).name
            if named.is_file():
                os.utime(self._note)
                return named
        return None

    def place(self, name: str) -> Path:
        """Return where the compiled file belongs; ``name`` is for people. Reads the whole checkpoint."""
        hashes = []
        for file in self._files:
            with file.open("rb") as stream:
                hashes.append(f"{file.relative_to(self._checkpoint)}: {_hash(stream)}")
        readable = "".join(c if c.isalnum() or c in "-_." else "-" for c in name)[-80:]
        return cache_folder() / f"{readable}-{_digest(*hashes, self._options)[:16]}{_SUFFIX}"

    def remember(self, compiled: Path) -> None:
        """Note that this checkpoint, as its files are now, is the compiled one."""
        self._note.parent.mkdir(parents=True, exist_ok=True)
        with replace_atomically(self._note) as note:
            note.write(compiled.name.encode())


@contextlib.contextmanager
def compiling(path: Path) -> Iterator[None]:
    """Hold a lock while the block runs, so that processes which start together compile a model once.

    Raises ``ArtifactError`` if the cache cannot be written to.
    """
    lock = path.with_suffix(".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = lock.open("ab")
    except OSError as error:
        raise ArtifactError(
            f"the cache {path.parent} cannot be written to ({error.strerror}): set BERTC_CACHE to another "
            "folder, or compile to a file with bertc compile"
        ) from None
    with stream:
        if sys.platform != "win32":
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield
        lock.unlink(missing_ok=True)


def cached_models() -> list[CachedModel]:
    """Return the models in the cache, the one that was used last first."""
    folder = cache_folder()
    used: dict[str, float] = {}
    for note in folder.glob("notes/*"):
        with contextlib.suppress(OSError, UnicodeError):
            name = note.read_text("utf-8")
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
    in use stays mapped there. Returns what was removed.
    """
    removed, kept = [], 0
    for index, model in enumerate(cached_models()):
        kept += model.bytes
        if kept > keep_bytes and (index or not keep_bytes):
            model.path.unlink(missing_ok=True)
            removed.append(model)
    for note in cache_folder().glob("notes/*"):
        with contextlib.suppress(OSError, UnicodeError):
            if not (cache_folder() / Path(note.read_text("utf-8")).name).is_file():
                note.unlink(missing_ok=True)
    return removed


def _digest(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode(errors="surrogateescape")).hexdigest()


def _hash(stream: Any) -> str:
    digest = hashlib.sha256()
    while block := stream.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()
