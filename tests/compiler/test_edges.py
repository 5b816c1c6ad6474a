from __future__ import annotations

from typing import Any

import numpy as np

from bertc.compiler.edges import BINS, edge_ranges
from bertc.quantize.statistics import EdgeCollector, Statistics


def collected(*batches: np.ndarray[Any, Any]) -> Statistics:
    collector = EdgeCollector(batches[0].shape[1], seed=0)
    for batch in batches:
        collector.add(batch.astype(np.float32))
    return Statistics({"dense": collector.finish()})


def test_a_histogram_covers_all_that_was_seen() -> None:
    rng = np.random.default_rng(0)
    (edge,) = edge_ranges(collected(rng.normal(0, 1, (300, 8)), np.full((1, 8), 25.0)))
    assert edge.high == 25 and -6 < edge.low < -2
    assert len(edge.counts) == BINS and sum(edge.counts) == 301 * 8
    assert edge.counts[-1] == 8 and edge.counts[20:-1] == (0,) * (BINS - 21)
    assert edge.clip_low is None and edge.clip_high is None


def test_static_ranges_are_shown() -> None:
    (edge,) = edge_ranges(collected(np.array([[0.0, 4.0]])), {"dense": (-0.5, 3.0), "other": (0.0, 1.0)})
    assert (edge.low, edge.clip_low, edge.clip_high, edge.high) == (0, -0.5, 3, 4)


def test_an_edge_that_never_changes_has_a_range_all_the_same() -> None:
    for value in (0.0, -3.0, 1e30):
        (edge,) = edge_ranges(collected(np.full((5, 4), value)))
        assert edge.low < edge.high and sum(edge.counts) == 20
