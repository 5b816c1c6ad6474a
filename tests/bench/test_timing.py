from __future__ import annotations

import pytest

from bertc.bench.timing import Amount, Round, faster, summarize
from tests.bench.fakes import timing


def test_an_amount_counts_sequences_tokens_and_operations() -> None:
    assert Amount.of(lambda lengths: 7 * sum(lengths), [1, 3]) == Amount(2, 4, 28)


def test_percentiles_are_of_calls_and_rates_of_rounds() -> None:
    rounds = [Round((1.0, 2.0, 3.0), 2.0, 1.0), Round((2.0, 4.0, 6.0), 4.0, 1.0), Round((9.0,), 9.0, 2.0)]
    found = summarize(rounds, Amount(sequences=8, tokens=80, operations=4_000_000))
    assert found.repeats == 7
    assert found.p50_ms == 3.0 and found.p50_ms <= found.p90_ms <= found.p99_ms <= 9.0
    assert found.mean_ms == pytest.approx(27 / 7)
    assert found.sequences_per_second == 2000 and found.tokens_per_second == 20_000  # a unit takes 4 ms
    assert found.gops == pytest.approx(1.0)
    assert found.kernel_sequences_per_second == 8000 and found.kernel_gops == pytest.approx(4.0)
    assert found.round_ms == (2.0, 4.0, 9.0)


def test_spread_is_the_distance_of_the_quartiles() -> None:
    assert timing(4.0, 4.0, 4.0).spread == 0
    assert timing(3.0, 4.0, 5.0).spread == pytest.approx(1 / 4)


def test_a_ratio_cancels_what_slows_both() -> None:
    own, other = (1.0, 2.0, 4.0), (1.5, 3.0, 6.0, 100.0)  # the machine gets slower and slower
    assert faster(own, other) == {"median": 1.5, "low": 1.5, "high": 1.5}
