"""Weights bounded in groups: they keep the bound whatever they are, and lose no more than it asks for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertc.ir import formulas
from bertc.quantize.bound import covering_scale, round_bounded
from bertc.quantize.clip import search_scale
from bertc.quantize.gptq import round_gptq
from bertc.quantize.layers import round_layer
from bertc.recipe import WeightScheme
from tests.support.edges import normal

Array = np.ndarray[Any, Any]
BOUNDED = ("pairs", "fours")
GROUPS = {
    "pairs": [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]],
    "fours": [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]],
}
"""The depths of the first groups, as the packed layout has them."""


def _largest_sums(q: Array, bound: str) -> tuple[int, int]:
    """The extreme sums of positive and of negative numbers of a group, by loops over plain integers."""
    low = high = 0
    period = 2 if bound == "pairs" else 8
    for row in q.tolist():
        for start in range(0, len(row), period):
            for group in GROUPS[bound][: 1 if bound == "pairs" else 2]:
                numbers = [row[start + i] for i in group if start + i < len(row)]
                high = max(high, sum(n for n in numbers if n > 0))
                low = min(low, sum(n for n in numbers if n < 0))
    return low, high


def _weights(kind: str, rows: int, columns: int, seed: int) -> Array:
    rng = np.random.default_rng(seed)
    if kind == "normal":
        return normal(rows, columns, seed=seed)
    if kind == "signs":
        return rng.choice(np.float32([-1, 1]), (rows, columns))
    return np.full((rows, columns), 1 if kind == "all above" else -1, np.float32)


@pytest.mark.parametrize("bound", BOUNDED)
def test_groups_are_those_of_the_packed_layout(bound: str) -> None:
    found = formulas.bounded_groups(17, bound)
    for depths in GROUPS[bound]:
        assert len(set(found[depths])) == 1
    assert len(set(found)) == {"pairs": 9, "fours": 5}[bound]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    bound=st.sampled_from(BOUNDED),
    kind=st.sampled_from(["normal", "signs", "all above", "all below"]),
    columns=st.integers(1, 40),
    limit=st.sampled_from([127, 63]),
    how=st.sampled_from(["gptq", "nearest"]),
    clip=st.sampled_from(["max", "mse"]),
    seed=st.integers(0, 2**16),
)
def test_rounded_weights_keep_the_bound(
    bound: str, kind: str, columns: int, limit: int, how: str, clip: str, seed: int
) -> None:
    weight = _weights(kind, 5, columns, seed)
    x = normal(64, columns, seed=seed + 1).astype(np.float64)
    moment = x.T @ x / 64
    power = np.diag(moment)
    scale = formulas.largest_scale(weight, limit)
    if clip == "mse":
        scale = search_scale(weight, power, limit, bound)
    q = (
        round_gptq(weight, scale, moment, limit, bound)
        if how == "gptq"
        else round_bounded(weight, scale, power, limit, bound)
    )
    low, high = _largest_sums(q, bound)
    assert low >= -128 and high <= 128 and np.abs(q.astype(int)).max() <= limit
    assert formulas.keeps_bound(q, bound) and formulas.keeps_bound(q, "none")


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("bound", BOUNDED)
def test_the_bound_is_told_to_the_last_unit(bound: str, sign: int) -> None:
    for depths in GROUPS[bound]:
        q = np.zeros((3, 17), np.int8)
        q[1, depths] = sign * 128 // len(depths)
        assert formulas.keeps_bound(q, bound)
        q[1, depths[-1]] += sign
        assert not formulas.keeps_bound(q, bound)


def test_weights_of_opposite_sign_do_not_add_up() -> None:
    q = np.tile(np.array([127, -127], np.int8), (2, 6))
    assert formulas.keeps_bound(q, "pairs") and not formulas.keeps_bound(q, "fours")


def test_minus_128_leaves_its_neighbor_nothing() -> None:
    assert formulas.keeps_bound(np.array([[-128, 0], [-128, 127]], np.int8), "pairs")
    assert not formulas.keeps_bound(np.array([[-128, -1]], np.int8), "pairs")


@pytest.mark.parametrize("bound", BOUNDED)
def test_weights_within_the_bound_are_rounded_as_without(bound: str) -> None:
    weight = normal(6, 48, seed=2)
    scale = 4 * formulas.largest_scale(weight, 127)
    power = np.ones(48)
    np.testing.assert_array_equal(
        round_bounded(weight, scale, power, 127, bound), formulas.round_to_scale(weight, scale, 127)
    )
    moment = np.diag(power) + 0.2
    np.testing.assert_array_equal(
        round_gptq(weight, scale, moment, 127, bound), round_gptq(weight, scale, moment, 127)
    )


def test_less_is_taken_from_the_weights_of_more_important_channels() -> None:
    """72 of 200 are beyond the bound: a tenth of that is taken where the input is nine times as large."""
    weight, scale = np.full((1, 4), 100, np.float32), np.ones(1, np.float32)
    moment = np.diag([1.0, 9.0, 9.0, 1.0])
    expected = [[35, 93, 93, 35]]
    np.testing.assert_array_equal(round_bounded(weight, scale, np.diag(moment), 127, "pairs"), expected)
    np.testing.assert_array_equal(round_gptq(weight, scale, moment, 127, "pairs"), expected)


def test_channels_that_calibration_never_moved_can_be_bounded() -> None:
    weight, scale = np.full((1, 8), 100, np.float32), np.ones(1, np.float32)
    for q in (
        round_bounded(weight, scale, np.zeros(8), 127, "fours"),
        round_gptq(weight, scale, np.zeros((8, 8)), 127, "fours"),
    ):
        np.testing.assert_array_equal(q, np.full((1, 8), 32))


@pytest.mark.parametrize("bound", BOUNDED)
def test_a_coarser_scale_is_chosen_where_the_bound_would_cut_more(bound: str) -> None:
    weight = np.linspace(0.9, 1, 64, dtype=np.float32)[None]
    power = np.ones(64)
    largest = formulas.largest_scale(weight, 127)
    scale = search_scale(weight, power, 127, bound)
    errors = [
        float(np.square(weight - formulas.dequantize_per_channel(q, each)).sum())
        for each in (scale, largest)
        for q in [round_bounded(weight, each, power, 127, bound)]
    ]
    assert scale > 1.5 * largest and errors[0] < 0.7 * errors[1]


@pytest.mark.parametrize("bound", BOUNDED)
def test_a_scale_that_covers_clips_nothing(bound: str) -> None:
    weight = normal(40, 64, seed=5)
    weight[3] = 0
    scale = covering_scale(weight, 127, bound)
    numbers = round_bounded(weight, scale, np.ones(64), 127, bound)
    # Half a step for each number of a group that was rounded up may be taken from the last of them.
    size = {"pairs": 2, "fours": 4}[bound]
    error = np.abs(weight - formulas.dequantize_per_channel(numbers, scale))
    assert (error <= (size / 2 + 1e-3) * scale[:, None]).all()
    assert (np.abs(numbers).max(axis=1) < 127).any()


@pytest.mark.parametrize("bound", BOUNDED)
@pytest.mark.parametrize("granularity", ["per_channel", "per_tensor"])
@pytest.mark.parametrize("columns", [11, 64])
def test_layers_without_statistics_keep_the_bound(bound: str, granularity: str, columns: int) -> None:
    scheme = WeightScheme(bound=bound, granularity=granularity, rounding="nearest")
    bias = np.zeros(9, np.float32)
    layer = round_layer(normal(9, columns), bias, None, scheme, 8, with_bias_correction=False)
    assert formulas.keeps_bound(layer.weight.numbers, bound)
