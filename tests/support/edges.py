"""Inputs of layers that methods of quantization are tested on, and the error that 8 bits make of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from bertc.ir import formulas
from bertc.ir.reference import channel_affine, gelu
from bertc.quantize.smooth import ChannelAffine
from bertc.quantize.statistics import EdgeCollector, EdgeStatistics

Array = np.ndarray[Any, Any]


def normal(rows: int = 512, columns: int = 64, seed: int = 0) -> Array:
    """Return independent normal numbers, float32 [rows, columns]."""
    return np.random.default_rng(seed).standard_normal((rows, columns)).astype(np.float32)


def outlier_channels(seed: int = 0) -> Array:
    """Return normal numbers, but two of 64 channels are fifty times as large as the others."""
    x = normal(seed=seed)
    x[:, [5, 40]] *= 50
    return x


def far_larger_numbers(seed: int = 0) -> Array:
    """Return normal rows of 256 channels, in each of which another channel is far larger."""
    x, rows = normal(columns=256, seed=seed), np.arange(512)
    x[rows, np.random.default_rng(seed).integers(0, 256, 512)] += 50
    return x


def shifted_channels(seed: int = 0) -> Array:
    """Return normal numbers, but two of 64 channels lie far from zero, with the spread of all others."""
    x = normal(seed=seed)
    x[:, 5] += 200
    x[:, 40] -= 90
    return x


def skewed_gelu(columns: int = 64, seed: int = 0) -> Array:
    """Return what GELU gives: nothing below -0.17, most numbers near zero, a few large ones."""
    x = normal(columns=columns, seed=seed) - 1
    x[:, 0] *= 8
    return gelu(x)


def correlated(rows: int = 2000, columns: int = 64, seed: int = 0) -> Array:
    """Return channels that move together: 8 directions hold nearly everything."""
    mixing = normal(8, columns, seed=seed + 1)
    return (normal(rows, 8, seed=seed) @ mixing + 0.1 * normal(rows, columns, seed=seed + 2)).astype(
        np.float32
    )


def statistics_of(x: Array) -> EdgeStatistics:
    """Return the statistics of ``x`` as calibration collects them."""
    collector = EdgeCollector(x.shape[1], seed=0)
    collector.add(x)
    return collector.finish()


def changed(x: Array, affine: ChannelAffine | None, cu_seqlens: Array | None = None) -> Array:
    """Return rows as an edge's change makes them, or as they are; places need the bounds of sequences."""
    if affine is None:
        return x
    offsets = {f"{formulas.PLACES[place]}_offset": offset for place, offset in affine.places.items()}
    bounds = {"cu_seqlens": cu_seqlens} if offsets else {}
    return channel_affine(x, affine.multiplier, affine.offset, **offsets, **bounds, hadamard=affine.hadamard)


def dynamic(x: Array) -> Array:
    """Return what is left of ``x`` after 8 bits with a scale per row."""
    return formulas.dequantize_rows(*formulas.quantize_rows(x))


def relative_error(expected: Array, found: Array) -> float:
    """Return the power of the difference, as a share of the power of what was expected."""
    wide = expected.astype(np.float64)
    return float(((found - wide) ** 2).sum() / (wide**2).sum())
