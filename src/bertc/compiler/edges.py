"""The range of each quantized edge, as calibration saw it and as chosen, small enough for a certificate."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bertc.artifact.certificate import EdgeRange
from bertc.ir.formulas import FIRST, LAST
from bertc.quantize.edges import EdgePlan
from bertc.quantize.static_scales import covered_range
from bertc.quantize.statistics import EdgeStatistics

BINS = 64
"""The bins of a histogram: 4 pixels each in a plot of 300, and 20 kB for the 50 edges of BERT-base."""


def edge_ranges(plans: Mapping[str, EdgePlan]) -> tuple[EdgeRange, ...]:
    """Return each edge's range: counts are of the sample of rows that statistics keep, ends of all rows."""
    return tuple(_edge_range(name, plan) for name, plan in plans.items())


def _edge_range(name: str, plan: EdgePlan) -> EdgeRange:
    after = plan.after
    low, high = _ends(after)
    low_before, high_before = _ends(plan.before)
    counts, _ = np.histogram(np.clip(after.sample.astype(np.float64), low, high), BINS, (low, high))
    clip = (None, None) if plan.static is None else tuple(map(_short, covered_range(plan.static)))
    affine = plan.affine
    return EdgeRange(
        name=name,
        low=_short(low),
        high=_short(high),
        low_before=_short(low_before),
        high_before=_short(high_before),
        migration=None if affine is None else affine.alpha,
        largest_shift=0.0 if affine is None else _short(np.abs(affine.offset / affine.multiplier).max()),
        gain_db=_short(plan.gain_db),
        first_gain_db=_gain(plan, FIRST),
        last_gain_db=_gain(plan, LAST),
        clip_low=clip[0],
        clip_high=clip[1],
        counts=tuple(int(count) for count in counts),
    )


def _gain(plan: EdgePlan, place: int) -> float | None:
    gain = plan.place_gains_db.get(place)
    return None if gain is None else _short(gain)


def _ends(edge: EdgeStatistics) -> tuple[float, float]:
    low, high = float(edge.low.min()), float(edge.high.max())
    if not low < high:  # every number was the same: a histogram has a width
        high = low + max(abs(low), 1.0) * 1e-3
    return low, high


def _short(value: float) -> float:
    return float(f"{value:.5g}")
