from __future__ import annotations

import numpy as np
import pytest

from bertc.bench.load.figures import Measured, Work, figures
from bertc.bench.load.generator import Trace

OPERATIONS = {(3, 5): 700, (8,): 900}
WORK = Work.of(lambda lengths: OPERATIONS[tuple(lengths)], [(2, (3, 5)), (1, (8,))], 8)


def trace(*ended: float, request: list[int] | None = None, served: list[bool] | None = None) -> Trace:
    """Requests that were due one after the other, and began as soon as they could."""
    due = np.arange(len(ended), dtype=float)
    return Trace(
        np.array(request or [0] * len(ended)),
        due,
        np.array(ended) - 0.25,
        np.array(ended),
        np.array(served or [True] * len(ended)),
    )


def test_padding_is_computed_but_counts_for_nobody() -> None:
    assert WORK.samples.tolist() == [2, 1]
    assert WORK.tokens.tolist() == [8, 8] and WORK.computed.tolist() == [16, 8]
    assert WORK.operations.tolist() == [700, 900]


def test_rates_are_those_of_all_instances_together() -> None:
    found = figures(WORK, [Measured([trace(1.0, 2.0), trace(4.0, request=[1])], None)], None)
    assert found["requests"] == 3 and found["samples"] == 5 and found["seconds"] == 4.0
    assert found["samples_per_second"] == 5 / 4 and found["requests_per_second"] == 3 / 4
    assert found["tokens_per_second"] == 24 / 4 and found["padding_percent"] == pytest.approx(40)
    assert found["gops"] == pytest.approx((2 * 700 + 900) / 4 / 1e9)
    assert found["spread"] is None and "keeps_up" not in found and "energy" not in found
    assert (found["min_ms"], found["p50_ms"], found["max_ms"]) == (1000, 1000, 4000)


def test_rounds_have_a_median_and_a_spread() -> None:
    rounds = [Measured([trace(span)], joules) for span, joules in ((1.0, 2.0), (2.0, 3.0), (4.0, 5.0))]
    found = figures(WORK, rounds, None)
    assert found["samples_per_second"] == 1.0  # of 2, 1 and 0.5
    assert found["spread"] == pytest.approx(0.75)
    assert found["energy"] == {"joules": 10.0, "watts": 10 / 7, "joules_per_sample": 10 / 6}


def test_an_open_loop_tells_latency_from_service_and_whether_it_keeps_up() -> None:
    found = figures(WORK, [Measured([trace(1.0, 3.0)], None)], 1.0)
    assert found["p50_ms"] == 1500 and found["service_p50_ms"] == 250
    assert not found["keeps_up"] and found["given_up"] == 0 and found["offered_per_second"] == 1.0
    # The last of 100 waits for 0.5 s, which is three services at most, or a twentieth of the time before.
    assert figures(WORK, [Measured([trace(*(np.arange(100) + 0.75))], None)], 1.0)["keeps_up"]
    assert figures(WORK, [Measured([trace(*(np.arange(100) * 1.04 + 0.25))], None)], 1.0)["keeps_up"]
    assert not figures(WORK, [Measured([trace(*(np.arange(100) * 1.06 + 0.25))], None)], 1.0)["keeps_up"]


def test_requests_that_were_given_up_count_with_their_waiting() -> None:
    late = trace(1.0, 9.0, served=[True, False])
    found = figures(WORK, [Measured([late], None)], 0.1)
    assert found["requests"] == 1 and found["given_up"] == 1 and not found["keeps_up"]
    assert found["max_ms"] == 8000 and found["service_p99_ms"] == 250


def test_a_loop_that_answers_nothing_has_no_rate() -> None:
    found = figures(WORK, [Measured([trace(9.0, served=[False])], 1.0)], 5.0)
    assert found["samples_per_second"] == 0 and found["energy"]["joules_per_sample"] is None
