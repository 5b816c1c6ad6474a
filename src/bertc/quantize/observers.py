"""Observers choose the range of an activation that its 8 bits cover by what calibration saw.

A wide range clips nothing and rounds coarsely; a narrow one cuts off the outermost values. Each rule
below is another answer to where to stop. All look at the sample of rows, but for the extremes, which are
those of every row. A range always holds zero, so that the zero point is an 8-bit number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bertc.ir.formulas import cover_range
from bertc.quantize.statistics import EdgeStatistics
from bertc.recipe import Observer

Array = np.ndarray[Any, Any]
Range = tuple[float, float]

TAIL = 1024
MIDDLE = 4096
"""The values that the least squared error is searched on: the outermost of each side, which clipping is about
those, and as many from between as give the error of rounding within 3 %."""

CANDIDATES = 128
NARROWEST = 1e-3
"""The ends of a range that the search tries: from the largest value down to a thousandth, 5.6 % apart. Where
ordinary values are smaller still beside the largest one, no static range fits both."""

KL_BINS = 2048
KL_LEVELS = 128
"""TensorRT's histogram, and its 7 bits of magnitude."""
KL_CROWDED = 0.9
"""With a larger share in the first bin there is nothing to see: the next histogram is 16 times finer."""


def choose_range(
    edge: EdgeStatistics, observer: Observer, *, symmetric: bool = False, channels: slice = slice(None)
) -> Range:
    """Return where the range of an edge, or of some of its channels, ends: ``(low, high)``, low <= 0 <= high.

    A symmetric range is ``(-high, high)``, chosen by the magnitudes alone.
    """
    low, high = min(float(edge.low[channels].min()), 0.0), max(float(edge.high[channels].max()), 0.0)
    values = edge.sample[:, channels].reshape(-1)
    if symmetric:
        low, high, values = 0.0, max(-low, high), np.abs(values)
    low, high = _RULES[observer.kind](observer, _Observed(low, high, values, symmetric))
    return (-high, high) if symmetric else (low, high)


@dataclass(frozen=True, eq=False)
class _Observed:
    """The values that a rule works from; magnitudes, for a symmetric range."""

    low: float
    high: float
    values: Array
    symmetric: bool

    def clamp(self, low: float, high: float) -> Range:
        """Return a range made to hold zero, and nothing that was never observed."""
        return max(min(float(low), 0.0), self.low), min(max(float(high), 0.0), self.high)


def _largest(_: Observer, observed: _Observed) -> Range:
    """Return all that was seen (Jacob et al. 2018, arXiv:1712.05877, sec. 3)."""
    return observed.low, observed.high


def _percentile(observer: Observer, observed: _Observed) -> Range:
    """Leave out the outermost values (Wu et al. 2020, arXiv:2004.09602, sec. 3.3), equally on both sides."""
    outside = 100.0 - observer.percentile
    if observed.symmetric:
        return observed.clamp(0.0, np.percentile(observed.values, 100.0 - outside))
    return observed.clamp(*np.percentile(observed.values, [outside / 2, 100.0 - outside / 2]))


def _topk(observer: Observer, observed: _Observed) -> Range:
    """Return the mean of the outermost values on each side (Mobilint): one of them hardly moves it."""
    count = max(1, min(len(observed.values), round(observer.topk_ratio * len(observed.values))))
    parts = np.partition(observed.values, [count - 1, len(observed.values) - count]).astype(np.float64)
    return observed.clamp(parts[:count].mean(), parts[len(parts) - count :].mean())


def _least_squares(_: Observer, observed: _Observed) -> Range:
    """Find the least squared error of the values in 8 bits (Nagel et al. 2021, arXiv:2106.08295, eq. 4).

    The ends are searched in turns, each among fractions of the extreme on its side.
    """
    values, weights = _subsample(observed.values)
    fractions = np.geomspace(1.0, NARROWEST, CANDIDATES)

    def error(low: float, high: float) -> float:
        scale, zero_point = cover_range(low, high, symmetric=observed.symmetric)
        q = np.clip(np.rint(values * np.float32(1 / scale)) + np.float32(zero_point), 0, 255)
        return float(weights @ (values - (q - np.float32(zero_point)) * np.float32(scale)) ** 2)

    low, high = observed.low, observed.high
    for _turn in range(2):
        high = min((observed.high * fractions).tolist(), key=lambda end: error(low, end))
        if observed.low:
            low = min((observed.low * fractions).tolist(), key=lambda end: error(end, high))
    return low, high


def _subsample(values: Array) -> tuple[Array, Array]:
    """Return fewer values, and for how many each stands: the outermost all, those between evenly."""
    if len(values) <= 2 * TAIL + MIDDLE:
        return values, np.ones(len(values), np.float32)
    parts = np.partition(values, [TAIL, len(values) - TAIL])
    middle = parts[TAIL : len(values) - TAIL]
    kept = middle[:: -(-len(middle) // MIDDLE)]
    weights = np.ones(2 * TAIL + len(kept), np.float32)
    weights[TAIL:-TAIL] = len(middle) / len(kept)
    return np.concatenate([parts[:TAIL], kept, parts[len(values) - TAIL :]]), weights


def _divergence(_: Observer, observed: _Observed) -> Range:
    """Find the least divergence of the histograms before and after: TensorRT's entropy calibration.

    Migacz 2017, "8-bit inference with TensorRT" (GTC), works on magnitudes; so does this, and both ends
    stop at the one that it finds. Where that is the narrowest of the histogram, the search starts again
    from there: one huge value would leave all others in a few bins.
    """
    magnitudes, end = np.abs(observed.values[observed.values != 0]), max(-observed.low, observed.high)
    for _zoom in range(4):
        if end <= 0:
            break
        counts, _edges = np.histogram(np.minimum(magnitudes, end), KL_BINS, (0.0, end))
        crowded = counts[0] > KL_CROWDED * counts.sum()
        bins = KL_LEVELS if crowded else _least_divergent(counts.astype(np.float64))
        end *= bins / KL_BINS
        if bins > KL_LEVELS:
            break
    return observed.clamp(-end, end)


def _least_divergent(counts: Array) -> int:
    """Return how many of the bins to keep, ``KL_LEVELS`` or more."""
    counts[0] = counts[1]  # Zero is exact in 8 bits: its bin would hide what happens to the others.
    beyond = counts.sum() - np.cumsum(counts)
    best, least = len(counts), np.inf
    for bins in range(KL_LEVELS, len(counts) + 1):
        kept = counts[:bins]
        occupied, level = kept > 0, np.arange(bins) * KL_LEVELS // bins
        if not occupied.any():
            continue
        sums, sizes = np.bincount(level, kept), np.bincount(level, occupied)
        spread = (sums / np.maximum(sizes, 1))[level][occupied]
        reference = kept[occupied]
        reference[-1] += beyond[bins - 1]
        p, q = reference / reference.sum(), spread / spread.sum()
        divergence = float(p @ np.log(p / q))
        if divergence < least:
            best, least = bins, divergence
    return best


_RULES: Mapping[str, Callable[[Observer, _Observed], Range]] = {
    "max": _largest,
    "percentile": _percentile,
    "topk": _topk,
    "mse": _least_squares,
    "kl": _divergence,
}
