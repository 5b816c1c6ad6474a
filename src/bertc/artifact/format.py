"""The parts of the file format that reader and writer share; ``docs/artifact.md`` describes the whole."""

from __future__ import annotations

import hashlib
import struct

FORMAT_NAME = "bertc"
MAX_HEADER_BYTES = 256 * 2**20
EMPTY_HASH = "0" * 64
"""The placeholder of the header's own hash, which stands in the header while that is computed."""

STORED_DTYPES = {"F32": "<f4", "F16": "<f2", "BF16": "<u2", "I8": "<i1", "U8": "<u1", "I32": "<i4"}
"""The NumPy dtype of each stored dtype by its name in safetensors; bf16 is stored as its bits."""


def prefix(header_bytes: int) -> bytes:
    """Return the first 8 bytes of a safetensors file: the length of the header, little-endian."""
    return struct.pack("<Q", header_bytes)


def header_hash(header: bytes) -> str:
    """Return the SHA-256 of a header that has :data:`EMPTY_HASH` in the place of its hash, in hexadecimal."""
    return hashlib.sha256(header).hexdigest()
