"""The executable, which a session runs: a program and its tensors, in an artifact or made in memory."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bertc.artifact.schema import Program

ALIGNMENT = 64
"""The bytes of a cache line, also of a vector register: tensors start on, and take, a multiple of it."""

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Tensor:
    """A constant as the native core reads it: packed, aligned to ``ALIGNMENT`` bytes."""

    dtype: str
    """The dtype as safetensors spells it, in lower case. bf16 is its bits, in a uint16 array."""
    array: Array


def unchanged() -> None:
    """Do nothing: the ``check_unchanged`` of tensors that nobody else can change."""


@dataclass(frozen=True, eq=False)
class Executable:
    """A program and its tensors, ready for a session. Immutable, shared freely."""

    program: Program
    tensors: Mapping[str, Tensor]
    origin: str = "the model in memory"
    """Where the executable comes from, as messages name it: the path of a file, if there is one."""
    check_unchanged: Callable[[], None] = unchanged
    """A function that raises ``ArtifactError`` if the memory of the tensors is no longer what was checked."""


def aligned_copy(array: Array) -> Array:
    """Return a contiguous copy of the array, in memory that starts on a multiple of ``ALIGNMENT`` bytes.

    It is whole pages, and goes back to the system with the copy: an allocator may keep what is freed.
    """
    memory = mmap.mmap(-1, max(array.nbytes, 1), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    copy = np.frombuffer(memory, array.dtype, array.size).reshape(array.shape)
    copy[...] = array
    return copy


def aligned_bytes(count: int) -> Array:
    """Return uninitialized uint8 [count], in memory that starts on a multiple of ``ALIGNMENT`` bytes."""
    memory = np.empty(count + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + count]
