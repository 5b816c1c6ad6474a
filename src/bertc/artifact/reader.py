"""Reads a ``.bertc`` file: maps it, checks every byte of the header, hands out views without a copy.

Any byte may be hostile. The header carries its own SHA-256, so damage to it never goes unnoticed;
tensor data is checked on request (``verify``), since reading all of it would cost the start-up time
that mapping saves.

A mapped file must stay as it is: whoever writes into it changes the weights, and whoever makes it shorter
ends the process with SIGBUS. Another file that takes its place by a rename, as ``bertc compile`` does it,
does no harm. ``Artifact.check_unchanged`` notices the difference; ``mmap=False`` makes it none.
"""

from __future__ import annotations

import hashlib
import json
import math
import mmap
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from bertc.artifact.certificate import Certificate
from bertc.artifact.executable import ALIGNMENT, Executable, Tensor, aligned_bytes, unchanged
from bertc.artifact.file_stamp import FileStamp
from bertc.artifact.format import EMPTY_HASH, FORMAT_NAME, MAX_HEADER_BYTES, STORED_DTYPES, header_hash
from bertc.artifact.schema import FORMAT_VERSION, Manifest, is_unicode
from bertc.errors import ArtifactError

Array = np.ndarray[Any, Any]

_METADATA_KEYS = ("format", "format_version", "header_sha256", "weights_sha256", "manifest", "tokenizer")


@dataclass(frozen=True, eq=False)
class Artifact:
    """An open artifact: its manifest, its tokenizer, and what a session runs of it, in mapped memory."""

    path: Path
    manifest: Manifest
    tokenizer_json: str
    executable: Executable
    size: int
    """The size of the file in bytes."""
    header_sha256: str
    weights_sha256: str
    memory: Array
    """The whole file, uint8, read-only: mapped, or a copy that starts on 64 bytes."""
    weights_start: int
    """The offset in bytes at which tensor data starts in the file."""

    @property
    def certificate(self) -> Certificate:
        """The measured fidelity, read and checked now. Raises ``ArtifactError`` if it makes no sense."""
        try:
            return Certificate.from_json_value(self.manifest.certificate)
        except ArtifactError as error:
            raise ArtifactError(f"{self.path}: {error}") from None

    def verify(self) -> None:
        """Check the tensor data against its stored SHA-256; raises ``ArtifactError`` if it differs."""
        if hashlib.sha256(self.memory[self.weights_start :].data).hexdigest() != self.weights_sha256:
            raise ArtifactError(
                f"{self.path}: the tensor data is damaged (its SHA-256 differs from the stored one): "
                "copy or compile the file again"
            )


def open_artifact(path: str | os.PathLike[str], *, verify: bool = False, mmap: bool = True) -> Artifact:
    """Open and check an artifact.

    ``mmap=False`` reads the file into memory of its own, so that it may be overwritten afterwards. Raises
    ``ArtifactError`` for anything wrong with the file.
    """
    path = Path(path)
    memory, check_unchanged = _open(path, mapped=mmap)
    start = 8 + _header_length(path, memory)
    metadata, entries = _parse_header(path, memory[8:start].tobytes())
    tensors = _tensors(path, entries, memory, start)
    try:
        manifest = Manifest.from_json(metadata["manifest"])
    except ArtifactError as error:
        raise ArtifactError(f"{path}: {error}") from None
    artifact = Artifact(
        path=path,
        manifest=manifest,
        tokenizer_json=metadata["tokenizer"],
        executable=Executable(manifest.program, MappingProxyType(tensors), str(path), check_unchanged),
        size=len(memory),
        header_sha256=metadata["header_sha256"],
        weights_sha256=metadata["weights_sha256"],
        memory=memory,
        weights_start=start,
    )
    if verify:
        artifact.verify()
    return artifact


def _check_unchanged(stamp: FileStamp) -> None:
    if stamp.was_written_to():
        raise ArtifactError(
            f"{stamp.path} was written to while it was in use: load it again. To deploy a file, rename "
            "it onto the old one, or load with mmap=False"
        )


def _open(path: Path, *, mapped: bool) -> tuple[Array, Callable[[], None]]:
    try:
        with path.open("rb") as file:
            facts = os.fstat(file.fileno())
            if facts.st_size < 8:
                raise ArtifactError(f"{path}: no bertc artifact, the file holds {facts.st_size} bytes")
            if not mapped:
                memory = aligned_bytes(facts.st_size)  # as packed weights must be
                if file.readinto(memory.data) != facts.st_size:
                    raise ArtifactError(f"{path} became shorter while it was read: load it again")
                memory.flags.writeable = False
                return memory, unchanged
            memory = np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
    except IsADirectoryError:
        raise ArtifactError(
            f"{path} is a folder, not an artifact: a checkpoint must be compiled first (bertc compile)"
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ArtifactError(f"cannot open {path}: {reason}") from None
    return memory, partial(_check_unchanged, FileStamp.of(path, facts))


def _header_length(path: Path, memory: Array) -> int:
    length = int.from_bytes(memory[:8].tobytes(), "little")
    if length < 2 or length > MAX_HEADER_BYTES:
        raise ArtifactError(f"{path}: no bertc artifact, or its first bytes are damaged")
    if 8 + length > len(memory):
        raise ArtifactError(f"{path}: truncated inside the header ({len(memory)} bytes): copy the file again")
    return length


def _parse_header(path: Path, raw: bytes) -> tuple[dict[str, str], dict[str, Any]]:
    """Return the metadata of a header, whose version and hash are right, and its entries of tensors."""
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError):
        raise ArtifactError(f"{path}: no bertc artifact, or its header is damaged") from None
    metadata = data.pop("__metadata__", None) if isinstance(data, dict) else None
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT_NAME:
        raise ArtifactError(f"{path}: no bertc artifact (make one with: bertc compile MODEL -o FILE)")
    _check_version(path, metadata.get("format_version"))
    for key in _METADATA_KEYS:
        if not isinstance(metadata.get(key), str) or not is_unicode(metadata[key]):
            raise ArtifactError(f"{path}: the header lacks {key!r}: compile the model again")
    stored = metadata["header_sha256"]
    if header_hash(raw.replace(stored.encode(), EMPTY_HASH.encode(), 1)) != stored:
        raise ArtifactError(
            f"{path}: the header is damaged (SHA-256 differs): copy or compile the file again"
        )
    return metadata, data


def _check_version(path: Path, text: Any) -> None:
    try:
        version = int(text)
    except (TypeError, ValueError):
        raise ArtifactError(f"{path}: the format version {text!r} is no number") from None
    if version != FORMAT_VERSION:
        advice = "update bertc" if version > FORMAT_VERSION else "compile the model again"
        raise ArtifactError(
            f"{path} has format version {version}, this bertc reads {FORMAT_VERSION}: {advice}"
        )


def _tensors(path: Path, entries: dict[str, Any], memory: Array, start: int) -> dict[str, Tensor]:
    """Return read-only views of all tensors, which must fill the rest of the file without gap or overlap."""
    tensors: dict[str, Tensor] = {}
    expected = start
    for name, item in entries.items():
        dtype, shape, first, last = _entry(path, name, item)
        if start + first != expected or expected % ALIGNMENT:
            raise ArtifactError(f"{path}: tensor {name!r} is not where it should be")
        expected = start + last
        if expected <= len(memory):
            raw = memory[start + first : expected]
            tensors[name] = Tensor(dtype.lower(), raw.view(STORED_DTYPES[dtype]).reshape(shape))
    if expected != len(memory):
        problem = "truncated" if expected > len(memory) else "longer than its header says"
        raise ArtifactError(
            f"{path}: {problem} ({len(memory)} bytes, expected {expected}): copy the file again"
        )
    return tensors


def _entry(path: Path, name: str, item: Any) -> tuple[str, tuple[int, ...], int, int]:
    """Return the dtype, shape, first and last offset that an entry says."""
    try:
        dtype, shape = item["dtype"], tuple(item["shape"])
        first, last = item["data_offsets"]
        numbers = (*shape, first, last)
        valid = dtype in STORED_DTYPES and all(type(number) is int and number >= 0 for number in numbers)
    except (TypeError, KeyError, ValueError):
        valid = False
    if not valid or last - first != math.prod(shape) * np.dtype(STORED_DTYPES[dtype]).itemsize:
        raise ArtifactError(f"{path}: the entry of tensor {name!r} is damaged")
    return dtype, shape, first, last
