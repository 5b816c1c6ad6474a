"""Chooses static scales: ranges from calibration, the same for all tokens, for a value or channel groups.

A range of its own for each group of channels needs no kernel: the groups are brought to one range, and the
weights make up for it (``smooth.ChannelAffine``), since conversions can change channels anyway.

One range for all tokens: Jacob et al. 2018, arXiv:1712.05877. One for each group of channels: Bondarenko et
al. 2021, "Understanding and Overcoming the Challenges of Efficient Transformer Quantization",
arXiv:2109.12948, sec. 4; our groups are of neighbors, theirs of channels of like range.
"""

from __future__ import annotations

import numpy as np

from bertc.ir.formulas import cover_range
from bertc.quantize.constants import StaticScale
from bertc.quantize.observers import Range, choose_range
from bertc.quantize.smooth import ChannelAffine
from bertc.quantize.statistics import EdgeStatistics
from bertc.recipe import ActivationScheme, Observer

SMALLEST_RANGE = 1e-6
"""The range of a group that calibration has seen at one value alone: any will do, but not none."""


def static_scale(edge: EdgeStatistics, observer: Observer, *, symmetric: bool) -> StaticScale:
    """Return the scale and zero point that cover the observer's range of the edge."""
    low, high = choose_range(edge, observer, symmetric=symmetric)
    return StaticScale(*cover_range(low, high, symmetric=symmetric))


def covered_range(static: StaticScale) -> Range:
    """Return the range of the values that a static scale does not clip."""
    return -static.zero_point * static.scale, (255 - static.zero_point) * static.scale


def group_channels(edge: EdgeStatistics, scheme: ActivationScheme, observer: Observer) -> ChannelAffine:
    """Return the change that brings the range of every group of neighboring channels to -1..1."""
    channels, size = len(edge.mean), scheme.group_size or len(edge.mean)
    multiplier, offset = np.empty(channels, np.float32), np.empty(channels, np.float32)
    for start in range(0, channels, size):
        group = slice(start, start + size)
        low, high = choose_range(edge, observer, symmetric=scheme.symmetric, channels=group)
        half = max((high - low) / 2, SMALLEST_RANGE)
        multiplier[group] = 1 / half
        offset[group] = -(high + low) / 2 / half
    return ChannelAffine(multiplier, offset, None)
