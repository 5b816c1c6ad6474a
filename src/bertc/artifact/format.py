"""What reader and writer share of the file format. The whole of it: ``docs/artifact.md``."""

from __future__ import annotations

import hashlib
import struct

FORMAT_NAME = "bertc"
MAX_HEADER_BYTES = 256 * 2**20
EMPTY_HASH = "0" * 64
"""Stands in the header where its own hash goes, while that is computed."""

STORED_DTYPES = {"F32": "<f4", "F16": "<f2", "BF16": "<u2", "I8": "<i1", "U8": "<u1", "I32": "<i4"}
"""As safetensors spells a dtype -> NumPy's, bf16 as its bits."""


def prefix(header_bytes: int) -> bytes:
    """The first 8 bytes of a safetensors file: the length of the header, little-endian."""
    return struct.pack("<Q", header_bytes)


def header_hash(header: bytes) -> str:
    """SHA-256 of the header with :data:`EMPTY_HASH` in the place of the hash."""
    return hashlib.sha256(header).hexdigest()
