"""What calibration saw at each quantized edge, small enough for a certificate."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bertc.artifact.certificate import EdgeRange
from bertc.quantize.statistics import EdgeStatistics, Statistics

BINS = 64
"""A bin of 300 pixels' worth of a plot is 4 wide; 50 edges of BERT-base take 10 kB."""


def edge_ranges(
    statistics: Statistics, clips: Mapping[str, tuple[float, float]] | None = None
) -> tuple[EdgeRange, ...]:
    """A histogram for each edge; ``clips`` has the range of those that have a static one.

    Counts are of the sample of rows that the statistics keep, ends of all rows.
    """
    return tuple(_edge_range(name, edge, (clips or {}).get(name)) for name, edge in statistics.edges.items())


def _edge_range(name: str, edge: EdgeStatistics, clip: tuple[float, float] | None) -> EdgeRange:
    low, high = float(edge.low.min()), float(edge.high.max())
    if not low < high:  # every number was the same
        high = low + max(abs(low), 1.0) * 1e-3
    counts, _ = np.histogram(np.clip(edge.sample.astype(np.float64), low, high), BINS, (low, high))
    return EdgeRange(
        name=name,
        low=float(f"{low:.6g}"),
        high=float(f"{high:.6g}"),
        clip_low=None if clip is None else float(f"{clip[0]:.6g}"),
        clip_high=None if clip is None else float(f"{clip[1]:.6g}"),
        counts=tuple(int(count) for count in counts),
    )
