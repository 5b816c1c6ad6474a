"""Writes a ``.bertc`` file: a safetensors file whose tensor data starts on, and stays on, 64 bytes.

The file appears at its destination complete or not at all: it is written beside it under another
name, flushed to the disk, and renamed. The format is described in ``docs/artifact.md``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bertc.artifact.executable import ALIGNMENT, Tensor
from bertc.artifact.format import EMPTY_HASH, FORMAT_NAME, header_hash, prefix
from bertc.artifact.schema import FORMAT_VERSION, Manifest
from bertc.atomic_file import replace_atomically
from bertc.errors import ArtifactError


def write_artifact(
    path: Path, manifest: Manifest, tokenizer_json: str, tensors: Mapping[str, Tensor]
) -> None:
    """Write an artifact, replacing a file that is there. Raises ``ArtifactError`` if the disk refuses."""
    header = _header(manifest, tokenizer_json, tensors)
    try:
        with replace_atomically(path) as file:
            file.write(header)
            for tensor in tensors.values():
                file.write(np.ascontiguousarray(tensor.array).view(np.uint8).data)
    except OSError as error:
        raise ArtifactError(
            f"cannot write {path}: {error.strerror or error}; nothing was left there"
        ) from None


def _header(manifest: Manifest, tokenizer_json: str, tensors: Mapping[str, Tensor]) -> bytes:
    weights = hashlib.sha256()
    entries: dict[str, Any] = {}
    offset = 0
    for name, tensor in tensors.items():
        data = np.ascontiguousarray(tensor.array)
        if data.nbytes % ALIGNMENT:
            raise ArtifactError(f"tensor {name!r} takes {data.nbytes} bytes, no multiple of {ALIGNMENT}")
        weights.update(data.view(np.uint8).data)
        entries[name] = {
            "dtype": tensor.dtype.upper(),
            "shape": list(data.shape),
            "data_offsets": [offset, offset + data.nbytes],
        }
        offset += data.nbytes
    metadata = {
        "format": FORMAT_NAME,
        "format_version": str(FORMAT_VERSION),
        "header_sha256": EMPTY_HASH,
        "weights_sha256": weights.hexdigest(),
        "manifest": manifest.to_json(),
        "tokenizer": tokenizer_json,
    }
    text = json.dumps({"__metadata__": metadata, **entries}, ensure_ascii=False, separators=(",", ":"))
    header = text.encode()
    header += b" " * (-(len(header) + 8) % ALIGNMENT)
    digest = header_hash(header).encode()
    return prefix(len(header)) + header.replace(EMPTY_HASH.encode(), digest, 1)
