"""The quantization formulas, in the one place that has them. NumPy only; imports nothing of bertc.

Weights are signed 8-bit, symmetric, one scale per output channel:
``weight[n, k] ~ scale[n] * q[n, k]`` with q in -127..127.

Activations are unsigned 8-bit with one scale and zero point per row (token), found on the fly:
``x[t, k] ~ scale[t] * (q[t, k] - zero_point[t])``. The range always holds zero, so that the zero
point is an 8-bit number (Jacob et al. 2018, arXiv:1712.05877, eq. 1). The native kernel
``quantize_rows`` computes the same, step by step, in float32.

Or they have one scale and zero point for all rows, chosen by calibration.

Weights may be bounded in groups, so that sums of a group's products fit 16 bits (``BOUNDS``).
The first and the last token of each sequence are places of their own (``token_places``).
Parts of a row may be mixed before it is rounded (``mix_parts``).
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

SMALLEST_RANGE = np.float32(1e-30)
"""A row whose range is below this counts as zero: 255 / range would overflow float32."""


NONE, PAIRS, FOURS = "none", "pairs", "fours"
BOUNDS = (NONE, PAIRS, FOURS)
"""What the weights of an output channel may be bounded in: nothing; pairs of depths, ``2 j`` and
``2 j + 1``; or fours, ``8 j + i`` for i in 0, 1, 4, 5 and in 2, 3, 6, 7. The products of a group fall into
one 16-bit sum of AVX2's ``vpmaddubsw``, or of two of them. What is bounded in fours is so in pairs."""

GROUP_LIMIT = 128
"""The most that the positive numbers of a group may add up to, and the negative ones below zero: the sum of
their products with 0..255 lies within 255 * 128 = 32640 < 2^15. Numbers of opposite sign never add up."""

PLACES = ("other", "first", "last")
"""The places of a token in its sequence. The one token of a sequence of one is its first."""
OTHER, FIRST, LAST = range(3)


HADAMARD_ORDERS = (1, 2, 4, 8, 16)
"""How many parts of a row may be mixed: as many registers as a kernel has for it. 1 mixes nothing."""
PART_MULTIPLE = 16
"""A part is whole registers of every instruction set: its columns are a multiple of this."""
MOST_MIXED_COLUMNS = 8192
"""Wider rows are not mixed: a kernel keeps a mixed row, 32 kB, on its stack."""


def can_mix(columns: int, order: int) -> bool:
    """Return whether rows can be mixed in ``order`` parts: 1 is always possible, and mixes nothing."""
    whole = order in HADAMARD_ORDERS and columns % (order * PART_MULTIPLE) == 0
    return order == 1 or (whole and columns <= MOST_MIXED_COLUMNS)


def mix_parts(x: Array, order: int) -> Array:
    """Return rows [..., columns] whose ``order`` equal parts are multiplied by Sylvester's Hadamard matrix.

    It has 1 and -1 alone, is symmetric, and its square is ``order`` times the identity. Sums are made in the
    order of the kernels, stage by stage: in float32 each bit is theirs.
    """
    parts, span = x.reshape(*x.shape[:-1], order, x.shape[-1] // order), 1
    while span < order:
        pairs = parts.reshape(*x.shape[:-1], order // (2 * span), 2, span, parts.shape[-1])
        first, second = pairs[..., 0, :, :], pairs[..., 1, :, :]
        parts = np.stack([first + second, first - second], axis=-3).reshape(parts.shape)
        span *= 2
    return parts.reshape(x.shape)


def token_places(cu_seqlens: Array) -> Array:
    """Return the place of each token, an index into ``PLACES``: int8 [tokens]."""
    places = np.zeros(cu_seqlens[-1], np.int8)
    places[cu_seqlens[1:] - 1] = LAST
    places[cu_seqlens[:-1]] = FIRST
    return places


def quantize_rows(x: Array) -> tuple[Array, Array, Array]:
    """Quantize each row of ``x`` [rows, columns] float32 to unsigned 8 bits.

    Returns ``(q uint8 [rows, columns], scale float32 [rows], zero_point int32 [rows])``.
    A row of zeros gets scale 0 and zero point 0.
    """
    x = x.astype(np.float32)
    low = np.minimum(x.min(axis=1), np.float32(0))
    high = np.maximum(x.max(axis=1), np.float32(0))
    span = high - low
    usable = span > SMALLEST_RANGE
    inverse = np.where(usable, np.float32(255) / np.where(usable, span, np.float32(1)), np.float32(0))
    scale = np.where(usable, span / np.float32(255), np.float32(0)).astype(np.float32)
    zero_point = np.rint(-low * inverse).astype(np.int32)
    q = np.clip(np.rint(x * inverse[:, None]) + zero_point[:, None], 0, 255)
    return q.astype(np.uint8), scale, zero_point


def quantize_static(x: Array, scale: float, zero_point: int) -> tuple[Array, Array, Array]:
    """Quantize all rows of ``x`` with one ``scale`` (above 0) and ``zero_point`` (0..255).

    Numbers outside the range that they span are clipped. The result is that of :func:`quantize_rows`.
    """
    inverse = np.float32(1) / np.float32(scale)
    q = np.clip(np.rint(x.astype(np.float32) * inverse) + np.float32(zero_point), 0, 255)
    rows = len(x)
    return q.astype(np.uint8), np.full(rows, scale, np.float32), np.full(rows, zero_point, np.int32)


def dequantize_rows(q: Array, scale: Array, zero_point: Array) -> Array:
    """Undo :func:`quantize_rows` up to rounding: float32 [rows, columns]."""
    shifted = q.astype(np.int32) - zero_point[:, None]
    return (scale[:, None] * shifted.astype(np.float32)).astype(np.float32)


def cover_range(low: float, high: float, *, symmetric: bool = False) -> tuple[float, int]:
    """Return the scale and zero point with which 0..255 covers a range, widened to hold zero.

    Symmetric: the zero point is 128, and 1..255 covers it. A range without width gets scale 1.
    """
    low, high = min(float(low), 0.0), max(float(high), 0.0)
    width, steps = (max(-low, high), 127) if symmetric else (high - low, 255)
    scale = float(np.float32(width / steps)) if width > SMALLEST_RANGE else 1.0
    return scale, 128 if symmetric else int(np.rint(-low / scale))


def quantize_per_channel(weight: Array, bits: int = 8) -> tuple[Array, Array]:
    """Quantize each row of ``weight`` [channels, columns] symmetrically to signed ``bits`` bits.

    Returns ``(q int8 [channels, columns], scale float32 [channels])``. A channel of zeros gets
    scale 0.
    """
    limit = 2 ** (bits - 1) - 1
    scale = largest_scale(weight, limit)
    return round_to_scale(weight, scale, limit), scale


def largest_scale(weight: Array, limit: int) -> Array:
    """Return the scale float32 [channels] that maps each row's largest number to ``limit``; 0 for zeros."""
    largest = np.abs(weight).max(axis=1).astype(np.float32)
    return np.where(largest > SMALLEST_RANGE, largest / np.float32(limit), np.float32(0)).astype(np.float32)


def round_to_scale(weight: Array, scale: Array, limit: int) -> Array:
    """Round ``weight`` [channels, columns] to steps of ``scale`` [channels], clipped: int8."""
    return np.clip(np.rint(weight / divisor_of(scale)[:, None]), -limit, limit).astype(np.int8)


def divisor_of(scale: Array) -> Array:
    """Return what channels are divided by, float32 like ``scale``: 1 for one of zeros, whose scale is 0."""
    return np.where(scale > 0, scale, np.float32(1)).astype(np.float32)


def bounded_groups(columns: int, bound: str) -> Array:
    """Return the group of each depth, int [columns]: weights of one group share a limit."""
    depth = np.arange(columns)
    return {NONE: depth, PAIRS: depth // 2, FOURS: depth // 8 * 2 + depth % 4 // 2}[bound]


def keeps_bound(q: Array, bound: str) -> bool:
    """Return whether int8 weights [channels, columns] keep to ``GROUP_LIMIT`` in all groups of ``bound``."""
    if bound == NONE:
        return True
    groups = np.zeros((len(q), -(-q.shape[1] // 8) * 8), np.int16)
    groups[:, : q.shape[1]] = q
    shape = (len(q), -1, 1, 2, 2) if bound == PAIRS else (len(q), -1, 2, 2, 2)
    sums = (side.reshape(shape).sum(axis=(2, 4)) for side in (np.maximum(groups, 0), np.minimum(groups, 0)))
    return all(bool((np.abs(each) <= GROUP_LIMIT).all()) for each in sums)


def dequantize_per_channel(q: Array, scale: Array) -> Array:
    """Undo :func:`quantize_per_channel` up to rounding: float32 [channels, columns]."""
    return (q.astype(np.float32) * scale[:, None]).astype(np.float32)


def round_to_bf16(x: Array) -> Array:
    """Round float32 to the nearest bfloat16, ties to even, and keep it as float32. NaN stays NaN."""
    bits = np.ascontiguousarray(x, dtype=np.float32).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) & np.uint32(0xFFFF0000)
    return np.where(np.isnan(x), x, rounded.view(np.float32)).astype(np.float32)


def stored(out: Array, static: Array | None, out_dtype: str) -> Array:
    """Round a float32 result to what is stored; to 8 bits by ``static``, a scale and its zero point."""
    if static is not None:
        return quantize_static(out, float(static[0]), int(static[1]))[0]
    return round_to_bf16(out) if out_dtype == "bf16" else out


def count_leading(flags: Array, value: int) -> int:
    """Return the number of flags before the first that is not ``value``."""
    return int(np.argmin(np.append(flags == value, False)))
