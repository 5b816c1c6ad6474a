"""Observers: the range of an activation that its 8 bits are spread over, chosen by what calibration saw.

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
"""Values that the least squared error is searched on: the outermost of each side, since clipping is about
those, and as many from between as give the error of rounding within 3 %."""

CANDIDATES = 128
NARROWEST = 1e-3
"""Ends of a range that the search tries: from the largest value down to a thousandth, 5.6 % apart. Where
ordinary values are smaller still beside the largest one, no static range fits both."""

KL_BINS = 2048
KL_LEVELS = 128
"""TensorRT's histogram, and its 7 bits of magnitude."""
KL_CROWDED = 0.9
"""With more of the values in the first bin there is nothing to see: the next histogram is 16 times finer."""


def choose_range(edge: EdgeStatistics, observer: Observer, *, symmetric: bool = False) -> Range:
    """Where the range of an edge ends: ``(low, high)``, low <= 0 <= high.

    A symmetric range is ``(-high, high)``, chosen by the magnitudes alone.
    """
    low, high = min(float(edge.low.min()), 0.0), max(float(edge.high.max()), 0.0)
    values = edge.sample.reshape(-1)
    if symmetric:
        low, high, values = 0.0, max(-low, high), np.abs(values)
    low, high = _RULES[observer.kind](observer, _Seen(low, high, values, symmetric))
    return (-high, high) if symmetric else (low, high)


@dataclass(frozen=True, eq=False)
class _Seen:
    """What a rule works from; magnitudes, for a symmetric range."""

    low: float
    high: float
    values: Array
    symmetric: bool

    def hold(self, low: float, high: float) -> Range:
        """A range as it may be: holding zero, and nothing that was never seen."""
        return max(min(float(low), 0.0), self.low), min(max(float(high), 0.0), self.high)


def _largest(_: Observer, seen: _Seen) -> Range:
    """All that was seen (Jacob et al. 2018, arXiv:1712.05877, sec. 3)."""
    return seen.low, seen.high


def _percentile(observer: Observer, seen: _Seen) -> Range:
    """All but the outermost (Wu et al. 2020, arXiv:2004.09602, sec. 3.3), as many below as above."""
    outside = 100.0 - observer.percentile
    if seen.symmetric:
        return seen.hold(0.0, np.percentile(seen.values, 100.0 - outside))
    return seen.hold(*np.percentile(seen.values, [outside / 2, 100.0 - outside / 2]))


def _topk(observer: Observer, seen: _Seen) -> Range:
    """The mean of the outermost values on each side (Mobilint): one of them hardly moves it."""
    count = max(1, min(len(seen.values), round(observer.topk_ratio * len(seen.values))))
    parts = np.partition(seen.values, [count - 1, len(seen.values) - count]).astype(np.float64)
    return seen.hold(parts[:count].mean(), parts[len(parts) - count :].mean())


def _least_squares(_: Observer, seen: _Seen) -> Range:
    """The least squared error of what 8 bits make of the values (Nagel et al. 2021, arXiv:2106.08295, eq. 4).

    The ends are searched in turns, each among fractions of the extreme on its side.
    """
    values, weights = _thin(seen.values)
    fractions = np.geomspace(1.0, NARROWEST, CANDIDATES)

    def error(low: float, high: float) -> float:
        scale, zero_point = cover_range(low, high, symmetric=seen.symmetric)
        q = np.clip(np.rint(values * np.float32(1 / scale)) + np.float32(zero_point), 0, 255)
        return float(weights @ (values - (q - np.float32(zero_point)) * np.float32(scale)) ** 2)

    low, high = seen.low, seen.high
    for _turn in range(2):
        high = min((seen.high * fractions).tolist(), key=lambda end: error(low, end))
        low = min((seen.low * fractions).tolist(), key=lambda end: error(end, high)) if seen.low else low
    return low, high


def _thin(values: Array) -> tuple[Array, Array]:
    """Fewer values, and for how many each of them stands: the outermost all, those between evenly."""
    if len(values) <= 2 * TAIL + MIDDLE:
        return values, np.ones(len(values), np.float32)
    parts = np.partition(values, [TAIL, len(values) - TAIL])
    middle = parts[TAIL : len(values) - TAIL]
    kept = middle[:: -(-len(middle) // MIDDLE)]
    weights = np.ones(2 * TAIL + len(kept), np.float32)
    weights[TAIL:-TAIL] = len(middle) / len(kept)
    return np.concatenate([parts[:TAIL], kept, parts[len(values) - TAIL :]]), weights


def _divergence(_: Observer, seen: _Seen) -> Range:
    """The least divergence of the histograms before and after: TensorRT's entropy calibration.

    Migacz 2017, "8-bit inference with TensorRT" (GTC), works on magnitudes; so does this, and both ends
    stop at the one that it finds. Where that is the narrowest of the histogram, the search starts again
    from there: one huge value would leave all others in a few bins.
    """
    magnitudes, end = np.abs(seen.values[seen.values != 0]), max(-seen.low, seen.high)
    for _zoom in range(4):
        if end <= 0:
            break
        counts, _edges = np.histogram(np.minimum(magnitudes, end), KL_BINS, (0.0, end))
        crowded = counts[0] > KL_CROWDED * counts.sum()
        bins = KL_LEVELS if crowded else _least_divergent(counts.astype(np.float64))
        end *= bins / KL_BINS
        if bins > KL_LEVELS:
            break
    return seen.hold(-end, end)


def _least_divergent(counts: Array) -> int:
    """How many of the bins to keep, ``KL_LEVELS`` or more."""
    counts[0] = counts[1]  # Zero is exact in 8 bits: its bin would hide what happens to the others.
    beyond = counts.sum() - np.cumsum(counts)
    best, least = len(counts), np.inf
    for bins in range(KL_LEVELS, len(counts) + 1):
        kept = counts[:bins]
        held, level = kept > 0, np.arange(bins) * KL_LEVELS // bins
        if not held.any():
            continue
        sums, sizes = np.bincount(level, kept), np.bincount(level, held)
        spread = (sums / np.maximum(sizes, 1))[level][held]
        reference = kept[held]
        reference[-1] += beyond[bins - 1]
        p, q = reference / reference.sum(), spread / spread.sum()
        divergence = float(p @ np.log(p / q))
        if divergence < least:
            best, least = bins, divergence
    return best


_RULES: Mapping[str, Callable[[Observer, _Seen], Range]] = {
    "max": _largest,
    "percentile": _percentile,
    "topk": _topk,
    "mse": _least_squares,
    "kl": _divergence,
}
