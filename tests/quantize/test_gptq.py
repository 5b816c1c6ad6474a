"""GPTQ: what it removes where channels move together, and what it must not change."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bertc.ir import formulas
from bertc.quantize.gptq import round_gptq
from tests.support.edges import correlated, normal, relative_error, statistics_of

Array = np.ndarray[Any, Any]
WEIGHT = normal(40, 64, seed=9)


def _round(x: Array, limit: int = 127, weight: Array = WEIGHT) -> tuple[Array, Array]:
    scale = formulas.largest_scale(weight, limit)
    return round_gptq(weight, scale, statistics_of(x).second_moment(), limit), scale


@pytest.mark.parametrize("limit", [127, 63])
def test_correlated_inputs_lose_a_tenth_of_what_rounding_to_nearest_loses(limit: int) -> None:
    """On rows that the rounding was not fitted to."""
    numbers, scale = _round(correlated(), limit)
    unseen = correlated(seed=7)
    # The same directions: the mixing matrix depends on its own seed.
    unseen = (normal(500, 8, seed=7) @ normal(8, 64, seed=1) + 0.1 * normal(500, 64, seed=8)).astype(
        np.float32
    )
    expected = unseen @ WEIGHT.T
    nearest = formulas.round_to_scale(WEIGHT, scale, limit)
    errors = [
        relative_error(expected, unseen @ formulas.dequantize_per_channel(q, scale).T)
        for q in (numbers, nearest)
    ]
    assert errors[0] < 0.1 * errors[1]


def test_independent_inputs_are_rounded_to_nearest() -> None:
    """With nothing in common between channels, none can make up for another."""
    scale = formulas.largest_scale(WEIGHT, 127)
    numbers = round_gptq(WEIGHT, scale, np.eye(64), 127)
    np.testing.assert_array_equal(numbers, formulas.round_to_scale(WEIGHT, scale, 127))


@pytest.mark.parametrize("columns", [1, 64, 127, 128, 129, 300])
def test_numbers_stay_within_the_limit_for_any_number_of_columns(columns: int) -> None:
    weight = normal(10, columns, seed=3)
    numbers, _ = _round(correlated(columns=columns), 63, weight)
    assert numbers.dtype == np.int8
    assert np.abs(numbers.astype(int)).max() <= 63


def test_blocks_give_what_one_column_after_the_other_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight = correlated(columns=150), normal(20, 150, seed=3)
    expected, _ = _round(x, 127, weight)
    monkeypatch.setattr("bertc.quantize.gptq.BLOCK", 1)
    found, _ = _round(x, 127, weight)
    # Sums in another order: now and then a number on the edge falls to the other side.
    assert (found != expected).mean() < 0.01


@pytest.mark.parametrize("dead", [[3], list(range(64))])
def test_channels_that_calibration_never_moved_are_rounded_to_nearest(dead: list[int]) -> None:
    x = correlated()
    x[:, dead] = 0
    numbers, scale = _round(x)
    nearest = formulas.round_to_scale(WEIGHT, scale, 127)
    np.testing.assert_array_equal(numbers[:, dead], nearest[:, dead])


def test_a_single_row_of_calibration_is_enough_to_run() -> None:
    numbers, scale = _round(normal(1))
    unseen = normal(seed=2)
    rounded = unseen @ formulas.dequantize_per_channel(numbers, scale).T
    assert relative_error(unseen @ WEIGHT.T, rounded) < 1e-3


def test_rows_of_zeros_stay_zero() -> None:
    weight = WEIGHT.copy()
    weight[4] = 0
    numbers, scale = _round(correlated(), weight=weight)
    assert scale[4] == 0
    assert not numbers[4].any()
