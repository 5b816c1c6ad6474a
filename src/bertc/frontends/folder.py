"""A model folder: reads files from inside it only, and remembers the hash of each."""

from __future__ import annotations

import hashlib
import json
import mmap
import re
from pathlib import Path, PurePosixPath
from typing import Any

from bertc.errors import CheckpointError

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"


def model_name(path: Path) -> str:
    """Return the name of the model in a folder: ``owner/name`` in the hub's cache, else the folder's name.

    The folder above gives the name of one that is called "model", as inside many a training run. Bytes that
    are no text in the locale become question marks.
    """
    resolved = Path(str(path.resolve()).encode("utf-8", "replace").decode())
    for folder in (resolved, *resolved.parents):
        repository = folder.parent.parent.name
        if folder.parent.name == "snapshots" and repository.startswith("models--"):
            return repository.removeprefix("models--").replace("--", "/", 1)
    return resolved.parent.name if resolved.name == "model" else resolved.name


def snapshot_revision(path: Path) -> str | None:
    """Return the revision of a snapshot in the hub's cache for it or a folder in it, None for any other."""
    for folder in (resolved := path.resolve(), *resolved.parents):
        if folder.parent.name == "snapshots" and folder.parent.parent.name.startswith("models--"):
            return folder.name
    return None


class CheckpointFolder:
    """The files of a checkpoint; each that is read is recorded in ``hashes``."""

    def __init__(self, path: Path, name: str, revision: str | None = None) -> None:
        self.path = path
        self.name = name
        self.revision = revision
        self.hashes: dict[str, str] = {}
        """The SHA-256 of every file read so far, by its relative path."""

    def has(self, file: str) -> bool:
        """Return whether the file is there. Raises ``CheckpointError`` for a link to what is not."""
        path = self._locate(file)
        try:
            if path.is_symlink() and not path.exists():
                raise CheckpointError(
                    f"{path} is a link to {path.readlink()}, where nothing is: download the checkpoint again"
                )
            return path.is_file()
        except OSError as error:
            raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from None

    def read_json(self, file: str) -> dict[str, Any]:
        """Return the object that a JSON file holds."""
        value = self._parse(file)
        if not isinstance(value, dict):
            raise CheckpointError(f"{self.path / file} must hold an object, found {type(value).__name__}")
        return value

    def read_json_if_there(self, file: str) -> dict[str, Any]:
        """Return the object that a JSON file holds, or an empty dict when there is no such file."""
        return self.read_json(file) if self.has(file) else {}

    def read_json_list(self, file: str) -> list[dict[str, Any]]:
        """Return the list of objects that a JSON file holds."""
        value = self._parse(file)
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise CheckpointError(f"{self.path / file} must hold a list of objects")
        return value

    def read_weight_map(self, index: str) -> dict[str, str]:
        """Return the file of each tensor, in this folder, by an index of shards."""
        where, folder = self.path / index, PurePosixPath(index).parent
        weight_map = self.read_json(index).get("weight_map")
        if not isinstance(weight_map, dict) or not all(isinstance(f, str) for f in weight_map.values()):
            raise CheckpointError(f"{where}: 'weight_map' must map tensor names to file names")
        files = {name: str(folder / file) for name, file in weight_map.items()}
        missing = sorted({file for file in files.values() if not self.has(file)})
        if missing:
            raise CheckpointError(f"{where} lists files that are missing: {', '.join(missing)}")
        return files

    def map(self, file: str) -> mmap.mmap | bytes:
        """Return the bytes of a file, mapped read-only (plain ``bytes`` if it is empty)."""
        try:
            with self._locate(file).open("rb") as stream:
                empty = stream.seek(0, 2) == 0
                data = b"" if empty else mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        except FileNotFoundError:
            raise CheckpointError(f"{file} is missing in {self.path}") from None
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{self.path / file} cannot be read: {error}") from None
        if data[: len(_LFS_POINTER)] == _LFS_POINTER:
            raise CheckpointError(
                f"{self.path / file} is a Git LFS pointer, not the file itself: run git lfs pull "
                f"in {self.path}"
            )
        self.hashes[file] = hashlib.sha256(data).hexdigest()
        return data

    def _parse(self, file: str) -> Any:
        text = bytes(self.map(file))
        try:
            value = json.loads(text)
            # JSON can spell half of a surrogate pair, which no terminal and no file can take.
            if _SURROGATE.search(text):
                json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise CheckpointError(f"{self.path / file} holds text that is no Unicode") from None
        except (ValueError, RecursionError) as error:
            raise CheckpointError(f"{self.path / file} is not valid JSON: {error}") from None
        return value

    def _locate(self, file: str) -> Path:
        relative = PurePosixPath(file)
        # Lexical on purpose: in the hub's cache the files themselves are links out of the folder.
        if relative.is_absolute() or ".." in relative.parts or "\\" in file or "\0" in file or not file:
            raise CheckpointError(f"{self.path} refers to {file!r}, which is not inside the folder")
        return self.path / relative
