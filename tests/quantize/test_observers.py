"""Each observer on the case that it is for, and what all of them promise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertc.ir.formulas import cover_range, dequantize_rows, quantize_static
from bertc.ir.reference import gelu
from bertc.quantize.observers import choose_range
from bertc.quantize.statistics import SAMPLE_ROWS, EdgeCollector, EdgeStatistics
from bertc.recipe import Observer
from tests.support import fidelity

Array = np.ndarray[Any, Any]
KINDS = ("max", "percentile", "topk", "mse", "kl")


def _edge(x: Array) -> EdgeStatistics:
    collector = EdgeCollector(x.shape[1], seed=0)
    collector.add(x)
    return collector.finish()


def _normal(rows: int = 512, columns: int = 64, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal((rows, columns)).astype(np.float32)


def _after_gelu() -> Array:
    """Nothing below -0.17, most values near zero, and a few channels that are much larger."""
    x = _normal(columns=256) - 1
    x[:, :2] *= 6
    return gelu(x)


def _one_huge_token() -> Array:
    x = _normal()
    x[7] *= 100
    return x


def _in_8_bits(x: Array, kind: str, *, symmetric: bool = False, **settings: float) -> Array:
    """What is left of ``x`` after a static quantization with the observer's range."""
    found = choose_range(_edge(x), Observer(kind=kind, **settings), symmetric=symmetric)  # type: ignore[arg-type]
    scale, zero_point = cover_range(*found, symmetric=symmetric)
    return dequantize_rows(*quantize_static(x, scale, zero_point))


def _ordinary_rows_db(x: Array, kind: str, **settings: float) -> float:
    rows = np.arange(len(x)) != 7
    return fidelity.sqnr_db(x[rows], _in_8_bits(x, kind, **settings)[rows])


def test_max_covers_rows_that_are_not_in_the_sample() -> None:
    x = _normal(rows=4 * SAMPLE_ROWS)
    x[::7, 3] += np.arange(len(x[::7]))
    edge = _edge(x)
    assert choose_range(edge, Observer(kind="max")) == (x.min(), x.max())
    assert edge.sample.max() < x.max()


@pytest.mark.parametrize("kind", ["topk", "kl"])
def test_one_huge_token_does_not_take_the_bits_of_the_others(kind: str) -> None:
    x = _one_huge_token()
    assert _ordinary_rows_db(x, "max") < 5
    assert _ordinary_rows_db(x, kind) > 24


def test_a_percentile_leaves_out_as_many_values_as_it_says() -> None:
    x = _one_huge_token()
    assert _ordinary_rows_db(x, "percentile", percentile=99.5) > 25
    low, high = choose_range(_edge(x), Observer(kind="percentile", percentile=90.0))
    assert (x < low).mean() == pytest.approx(0.05, abs=1e-3)
    assert (x > high).mean() == pytest.approx(0.05, abs=1e-3)
    _, high = choose_range(_edge(x), Observer(kind="percentile", percentile=90.0), symmetric=True)
    assert (np.abs(x) > high).mean() == pytest.approx(0.1, abs=1e-3)


def test_topk_is_the_mean_of_the_outermost_values() -> None:
    x = np.arange(-100, 300, dtype=np.float32).reshape(100, 4)
    assert choose_range(_edge(x), Observer(kind="topk", topk_ratio=0.01)) == (-98.5, 297.5)


def test_least_squares_clip_a_skewed_gelu() -> None:
    x = _after_gelu()
    errors = {kind: fidelity.sqnr_db(x, _in_8_bits(x, kind)) for kind in KINDS}
    assert max(errors, key=lambda kind: errors[kind]) == "mse"
    assert errors["mse"] > errors["max"] + 0.8


def test_a_zero_point_is_worth_a_bit_after_gelu() -> None:
    x = _after_gelu()
    skewed, even = (fidelity.sqnr_db(x, _in_8_bits(x, "mse", symmetric=each)) for each in (False, True))
    assert skewed > even + 2.5


def test_divergence_looks_closer_until_ordinary_values_fill_the_histogram() -> None:
    x = _normal()
    x[0, 0] = 1e4
    _, high = choose_range(_edge(x), Observer(kind="kl"))
    assert 3 < high < 10


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [0.0, 3.0, -3.0])
def test_constant_values_have_a_range_that_holds_them(kind: str, value: float) -> None:
    low, high = choose_range(_edge(np.full((1, 5), value, np.float32)), Observer(kind=kind))
    # Least squares may stop one step short.
    assert min(value, 0) * 0.9 >= low >= min(value, 0) and max(value, 0) * 0.9 <= high <= max(value, 0)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    kind=st.sampled_from(KINDS),
    rows=st.integers(1, 40),
    spread=st.floats(-20, 20),
    shift=st.floats(-5, 5),
    symmetric=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_ranges_hold_zero_and_nothing_unseen(
    kind: str, rows: int, spread: float, shift: float, symmetric: bool, seed: int
) -> None:
    x = ((_normal(rows, 8, seed) + shift) * np.exp(spread)).astype(np.float32)
    low, high = choose_range(_edge(x), Observer(kind=kind), symmetric=symmetric)
    if symmetric:
        assert low == -high and 0 <= high <= np.abs(x).max()
    else:
        assert min(x.min(), 0) <= low <= 0 <= high <= max(x.max(), 0)
    scale, zero_point = cover_range(low, high, symmetric=symmetric)
    assert scale > 0 and 0 <= zero_point <= 255


def test_the_same_edge_gives_the_same_range() -> None:
    x = _after_gelu()
    for kind in KINDS:
        assert choose_range(_edge(x), Observer(kind=kind)) == choose_range(_edge(x), Observer(kind=kind))
