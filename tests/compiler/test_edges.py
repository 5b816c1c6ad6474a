from __future__ import annotations

from typing import Any

import numpy as np

from bertc.compiler.edges import BINS, edge_ranges
from bertc.quantize.constants import StaticScale
from bertc.quantize.edges import EdgePlan
from bertc.quantize.smooth import ChannelAffine
from bertc.quantize.statistics import EdgeCollector, EdgeStatistics

Array = np.ndarray[Any, Any]


def collected(*batches: Array) -> EdgeStatistics:
    collector = EdgeCollector(batches[0].shape[1], seed=0)
    for batch in batches:
        collector.add(batch.astype(np.float32))
    return collector.finish()


def plan(*batches: Array, affine: ChannelAffine | None = None, static: StaticScale | None = None) -> EdgePlan:
    return EdgePlan(collected(*batches), affine, static, 3.0)


def test_a_histogram_covers_all_that_was_seen() -> None:
    rng = np.random.default_rng(0)
    (edge,) = edge_ranges({"dense": plan(rng.normal(0, 1, (300, 8)), np.full((1, 8), 25.0))})
    assert edge.name == "dense" and edge.high == 25 and -6 < edge.low < -2
    assert len(edge.counts) == BINS and sum(edge.counts) == 301 * 8
    assert edge.counts[-1] == 8 and edge.counts[20:-1] == (0,) * (BINS - 21)
    assert edge.clip_low is None and edge.clip_high is None
    assert edge.migration is None and edge.largest_shift == 0


def test_static_ranges_are_shown() -> None:
    (edge,) = edge_ranges({"dense": plan(np.array([[0.0, 4.0]]), static=StaticScale(0.01, 50))})
    assert (edge.low, edge.clip_low, edge.clip_high, edge.high) == (0, -0.5, 2.05, 4)


def test_what_was_moved_and_shifted_shows_beside_what_it_was() -> None:
    affine = ChannelAffine(np.array([0.1, 1.0], np.float32), np.array([-6.0, 0.0], np.float32), 0.5)
    (edge,) = edge_ranges({"dense": plan(np.array([[59.0, 1.0], [62.0, -1.0]]), affine=affine)})
    assert (edge.low_before, edge.high_before) == (-1, 62)
    assert (edge.low, edge.high) == (-1, 1)
    assert (edge.migration, edge.largest_shift, edge.gain_db) == (0.5, 60, 3)


def test_an_edge_that_never_changes_has_a_width_all_the_same() -> None:
    for value in (0.0, -3.0, 1e30):
        (edge,) = edge_ranges({"dense": plan(np.full((5, 4), value))})
        assert edge.low < edge.high and sum(edge.counts) == 20
