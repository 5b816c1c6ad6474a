"""SHA-256 of what may not fit memory."""

from __future__ import annotations

import hashlib
from typing import IO


def hash_of(stream: IO[bytes]) -> str:
    """Return the SHA-256 of what is left of a stream, in hexadecimal digits."""
    digest = hashlib.sha256()
    while block := stream.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()
