"""Vectors of 8 bits or one bit a component, as ``quantize_embeddings`` of sentence-transformers has them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bertc.artifact.embedding_facts import Ranges
from bertc.errors import InputError

Array = np.ndarray[Any, Any]

PRECISIONS = ("float32", "int8", "uint8", "binary", "ubinary")
"""Bits are packed, eight components to a byte, which is signed for ``binary``."""
SCALED = ("int8", "uint8")
"""The precisions that need to know which values the vectors take."""


def quantize(vectors: Array, precision: str, ranges: Array | None) -> Array:
    """Round float32 [..., components] to one of ``PRECISIONS``.

    ``ranges`` [2, components] are the smallest and the largest value of each component, for int8 and uint8:
    they are cut into 256 steps of one size, and what lies outside is clipped.
    """
    if precision == "float32":
        return vectors
    if precision in ("binary", "ubinary"):
        return _signed(np.packbits(vectors > 0, axis=-1), precision == "binary")
    assert ranges is not None, "callers check it"
    low, high = ranges
    steps = (high - low) / np.float32(255)
    levels = np.clip(np.floor((vectors - low) / np.where(steps == 0, np.float32(1), steps)), 0, 255)
    return _signed(levels.astype(np.uint8), precision == "int8")


def _signed(values: Array, signed: bool) -> Array:
    """Bytes from 0 to 255, or the same less 128."""
    return np.asarray((values ^ np.uint8(0x80)).view(np.int8)) if signed else values


def packed_columns(columns: int, precision: str) -> int:
    """The width of a vector in a precision."""
    return -(-columns // 8) if precision in ("binary", "ubinary") else columns


def dtype_of(precision: str) -> np.dtype[Any]:
    """The element type of a precision."""
    return np.dtype({"float32": "f4", "int8": "i1", "binary": "i1"}.get(precision, "u1"))


def given_ranges(ranges: ArrayLike, columns: int) -> Array:
    """A caller's ranges, checked: float32 [2, columns]. Raises ``InputError``."""
    array = np.asarray(ranges, np.float32)
    if array.shape != (2, columns) or not (array[0] <= array[1]).all():
        raise InputError(
            f"ranges have shape {array.shape}: expected [2, {columns}], the smallest and the largest value "
            "of each component"
        )
    return array


def stored_ranges(ranges: Ranges, columns: int) -> Array:
    """The ranges of a file for the first components: float32 [2, columns]."""
    return np.array([ranges.low[:columns], ranges.high[:columns]], np.float32)
