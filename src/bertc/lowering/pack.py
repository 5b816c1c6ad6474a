"""The one packed layout, as ``native/src/kernels/gemm/kernel.h`` reads it.

Every tensor is padded with zeros so that kernels have no tails and every tensor in the file takes a
multiple of 64 bytes: a vector to 16 elements, a table to 16 columns (and as many rows as 64 bytes
need), a weight to whole blocks of 16 output columns and whole groups of input elements.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bertc.artifact.executable import ALIGNMENT, Tensor, aligned_copy
from bertc.ir.graph import Constant, DType

LANES = 16
GROUP = {DType.F32: 1, DType.BF16: 2, DType.I8: 4}
"""The consecutive input elements that one instruction multiplies, by weight dtype."""

LIMIT_OF_7_BITS = 63

Array = np.ndarray[Any, Any]


def round_up(value: int, multiple: int) -> int:
    """Return the next multiple of ``multiple`` that is not below ``value``."""
    return -(-value // multiple) * multiple


def _stored(constant: Constant) -> Array:
    if constant.dtype == DType.BF16:
        bits = np.ascontiguousarray(constant.array, dtype=np.float32).view(np.uint32)
        return np.asarray(bits >> np.uint32(16), np.uint16)
    return constant.array


def _pad(array: Array, shape: tuple[int, ...]) -> Array:
    widths = [(0, wanted - found) for wanted, found in zip(shape, array.shape, strict=True)]
    return np.pad(array, widths) if any(width for _, width in widths) else array


def _packed(constant: Constant, array: Array) -> Tensor:
    return Tensor(constant.dtype.value, aligned_copy(array))


def pack_vector(constant: Constant) -> Tensor:
    """Pad [n] to [n rounded up to 16]."""
    array = _stored(constant)
    return _packed(constant, _pad(array, (round_up(len(array), LANES),)))


def pack_table(constant: Constant) -> Tensor:
    """Pad [rows, columns]: columns to a multiple of 16, and rows so that 64 bytes divide the whole."""
    array = _stored(constant)
    columns = round_up(array.shape[1], LANES)
    rows_per_line = ALIGNMENT // math.gcd(columns * constant.dtype.itemsize, ALIGNMENT)
    return _packed(constant, _pad(array, (round_up(array.shape[0], rows_per_line), columns)))


def pack_distances(constant: Constant) -> Tensor:
    """Widen [rows, 2 reach + 1], by the numbers at its ends, to an even width with distance 0 in the middle.

    It is a multiple of 16, and at either end 16 are alike: kernels may read that many from anywhere.
    """
    array = _stored(constant)
    reach = array.shape[1] // 2
    before = round_up(reach + LANES, LANES // 2) - reach
    return _packed(constant, np.pad(array, ((0, 0), (before, before - 1)), "edge"))


def pack_weight(constant: Constant) -> Tensor:
    """Lay out [out, in] as [out / 16][in / group][16][group]."""
    group = GROUP[constant.dtype]
    array = _stored(constant)
    out, inner = round_up(array.shape[0], LANES), round_up(array.shape[1], group)
    blocks = _pad(array, (out, inner)).reshape(out // LANES, LANES, inner // group, group)
    return _packed(constant, blocks.transpose(0, 2, 1, 3))


def pack_gated_vector(constant: Constant) -> Tensor:
    """Lay out [2 n] as :func:`pack_gated_weight` lays out its rows."""
    return pack_vector(_by_blocks(constant))


def pack_gated_weight(constant: Constant) -> Tensor:
    """Lay out [2 out, in], gates and then values, as [out / 16][2][in / group][16][group]."""
    return pack_weight(_by_blocks(constant))


def _by_blocks(constant: Constant) -> Constant:
    """Put a block of 16 rows of the second half after each one of the first, both filled up with zeros."""
    array = constant.array
    halves = array.reshape(2, len(array) // 2, *array.shape[1:])
    rows = round_up(halves.shape[1], LANES)
    halves = _pad(halves, (2, rows, *array.shape[1:]))
    blocks = halves.reshape(2, rows // LANES, LANES, *array.shape[1:]).swapaxes(0, 1)
    return Constant(constant.dtype, blocks.reshape(2 * rows, *array.shape[1:]))


def gated_column_sums(constant: Constant) -> Tensor:
    """Return the :func:`column_sums` of a gated layer's weights."""
    return column_sums(_by_blocks(constant))


def column_sums(constant: Constant) -> Tensor:
    """Sum each output channel's 8-bit weights, int32: the zero point's share of a product."""
    sums = constant.array.astype(np.int64).sum(axis=1).astype(np.int32)
    return pack_vector(Constant(DType.I32, sums))


def weight_bits(constant: Constant) -> int:
    """Return 8, or 7 if all numbers lie in -63..63: their kernels are faster where there is no VNNI."""
    return 7 if int(np.abs(constant.array.astype(np.int16)).max()) <= LIMIT_OF_7_BITS else 8
