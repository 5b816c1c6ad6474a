from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from bertc.evaluation import resampling

Array = np.ndarray[Any, Any]


def mean_of(values: Array) -> Any:
    return lambda weights: {"mean": weights @ values / weights.sum(axis=1)}


def test_every_resample_has_as_many_samples() -> None:
    totals = resampling.bootstrap(lambda weights: {"sum": weights.sum(axis=1)}, 37, seed=0)["sum"]
    assert len(totals) == resampling.RESAMPLES and set(totals) == {37}


def test_many_samples_come_in_parts_and_are_the_same_by_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=50)
    parts: list[int] = []

    def score(weights: Array) -> dict[str, Array]:
        parts.append(len(weights))
        return {"mean": weights @ values / 50}

    monkeypatch.setattr(resampling, "_BLOCK", 50 * 300)
    first = resampling.bootstrap(score, 50, seed=3)["mean"]
    assert parts == [300, 300, 300, 100]
    assert np.array_equal(first, resampling.bootstrap(score, 50, seed=3)["mean"])
    assert not np.array_equal(first, resampling.bootstrap(score, 50, seed=4)["mean"])


def test_the_interval_of_a_mean_is_that_of_theory() -> None:
    values = np.random.default_rng(1).normal(size=400)
    low, high = resampling.interval(resampling.bootstrap(mean_of(values), 400, seed=0)["mean"])
    half = 1.96 * values.std() / 20
    # 1000 resamples leave the ends some 5 % of the width uncertain.
    assert low == pytest.approx(values.mean() - half, abs=0.15 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.15 * half)


def test_what_is_undefined_is_left_out_of_an_interval() -> None:
    assert resampling.interval(np.array([np.nan, 1.0, 1.0])) == (1, 1)
    assert np.isnan(resampling.interval(np.array([np.nan]))).all()


@pytest.mark.parametrize(("better", "worse"), [(0, 0), (0, 1), (1, 0), (3, 3), (0, 6), (2, 14), (40, 90)])
def test_mcnemar_is_the_exact_binomial_test(better: int, worse: int) -> None:
    total = better + worse
    expected = stats.binomtest(better, total).pvalue if total else 1
    assert resampling.mcnemar(better, worse) == pytest.approx(expected)


def test_mcnemar_of_many_samples() -> None:
    assert resampling.mcnemar(3000, 3300) == pytest.approx(stats.binomtest(3000, 6300).pvalue)


def test_the_paired_bootstrap_tells_a_shift_from_noise() -> None:
    noise = np.random.default_rng(2).normal(size=300)
    noise -= noise.mean()
    drawn = [resampling.bootstrap(mean_of(noise + shift), 300, seed=0)["mean"] for shift in (0, 0.3, -0.3)]
    assert resampling.paired_bootstrap(drawn[0]) > 0.5
    assert resampling.paired_bootstrap(drawn[1]) == resampling.paired_bootstrap(drawn[2]) < 0.01
    assert resampling.paired_bootstrap(np.zeros(10)) == 1
