"""What a session runs: a program and its tensors. An artifact holds one, the compiler makes one in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bertc.artifact.schema import Program

ALIGNMENT = 64
"""Bytes: tensors start on, and take, a multiple of a cache line, which is also a vector register."""

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Tensor:
    """A constant as the native core reads it: packed, aligned to ``ALIGNMENT`` bytes."""

    dtype: str
    """As safetensors spells it, in lower case. bf16 is its bits, in a uint16 array."""
    array: Array


def unchanged() -> None:
    """What memory of our own does when asked whether somebody changed it: nothing."""


@dataclass(frozen=True, eq=False)
class Executable:
    """A program and its tensors, ready for a session. Immutable, shared freely."""

    program: Program
    tensors: Mapping[str, Tensor]
    origin: str = "the model in memory"
    """Where it comes from, for messages: the path of a file."""
    check_unchanged: Callable[[], None] = unchanged
    """Raises ``ArtifactError`` if the memory that the tensors lie in is no longer what was checked."""


def aligned_copy(array: Array) -> Array:
    """The same elements, contiguous, in memory that starts on ``ALIGNMENT`` bytes."""
    memory = np.empty(array.nbytes + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    copy = memory[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy
