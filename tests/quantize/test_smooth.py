"""Scale migration and channel shift: what they remove on the cases that they are for, and what they keep."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bertc.ir import formulas
from bertc.quantize.smooth import ALPHAS, ChannelAffine, Rounding, choose_affine, estimate_error, no_change
from tests.support.edges import (
    changed,
    dynamic,
    far_larger_numbers,
    normal,
    outlier_channels,
    relative_error,
    shifted_channels,
    skewed_gelu,
    statistics_of,
)

Array = np.ndarray[Any, Any]
EIGHT_BITS = Rounding(static=False, weight_limit=127, weight_share=1.0)
WEIGHT = normal(96, 64, seed=9)


def _choose(
    x: Array, *, migration: Any = "auto", shift: bool = True, weight: Array = WEIGHT, hadamard: int = 1
) -> ChannelAffine:
    return choose_affine(
        statistics_of(x), weight, EIGHT_BITS, migration=migration, shift=shift, hadamard=hadamard
    )


def _product(x: Array, affine: ChannelAffine | None, weight: Array = WEIGHT) -> Array:
    """``x W^T`` by a layer in 8 bits, for a bias of zero."""
    if affine is None:
        affine = no_change(x.shape[1])
    numbers = formulas.quantize_per_channel(affine.weight(weight))
    rounded = formulas.dequantize_per_channel(*numbers)
    z = dynamic(changed(x, affine))
    return z @ rounded.T + affine.bias(weight, np.zeros(len(weight), np.float32))


def _error(x: Array, affine: ChannelAffine | None) -> float:
    return relative_error(x @ WEIGHT.T, _product(x, affine))


def test_outlier_channels_no_longer_take_up_the_bits_of_all_others() -> None:
    """Ordinary channels had 12 steps left. Judged where outliers matter little: their weights are small."""
    weight = WEIGHT.copy()
    weight[:, [5, 40]] /= 50
    x, unseen = outlier_channels(), outlier_channels(seed=1)
    affine = choose_affine(statistics_of(x), weight, EIGHT_BITS, migration="auto", shift=False)
    expected = unseen @ weight.T
    assert relative_error(expected, _product(unseen, affine, weight)) < 0.05 * relative_error(
        expected, _product(unseen, None, weight)
    )


def test_channels_far_from_zero_cost_nothing_once_they_are_shifted() -> None:
    x, unseen = shifted_channels(), shifted_channels(seed=1)
    centered = unseen - shifted_channels().mean(axis=0)
    plain = np.abs(_product(unseen, None) - unseen @ WEIGHT.T).mean()
    shifted = np.abs(_product(unseen, _choose(x, migration=None)) - unseen @ WEIGHT.T).mean()
    assert shifted < 0.03 * plain
    assert shifted < 1.2 * np.abs(_product(centered, None) - centered @ WEIGHT.T).mean()


def test_mixing_lessens_what_no_shift_and_no_scale_takes_away() -> None:
    """Steps grow twofold, as 50 becomes -50 in half of the 16 parts; weights shrink by a factor of 4."""
    weight, unseen = normal(96, 256, seed=9), far_larger_numbers(seed=1)
    plain, mixed = (
        relative_error(unseen @ weight.T, _product(unseen, affine, weight))
        for affine in (_choose(far_larger_numbers(), weight=weight, hadamard=order) for order in (1, 16))
    )
    assert mixed < 0.5 * plain


@pytest.mark.parametrize("make", [normal, outlier_channels, shifted_channels, skewed_gelu])
@pytest.mark.parametrize("migration", [None, 0.0, 0.5, 1.0, "auto"])
@pytest.mark.parametrize("shift", [True, False])
@pytest.mark.parametrize("hadamard", [1, 4])
def test_the_function_is_kept(make: Any, migration: Any, shift: bool, hadamard: int) -> None:
    x = make()
    affine = _choose(x, migration=migration, shift=shift, hadamard=hadamard)
    assert affine.hadamard == hadamard
    bias = affine.bias(WEIGHT, np.zeros(len(WEIGHT), np.float32))
    found = changed(x, affine) @ affine.weight(WEIGHT).T + bias
    assert relative_error(x @ WEIGHT.T, found) < 1e-10
    assert bool(affine.offset.any()) == shift
    assert bool((affine.multiplier != 1).any()) == (affine.alpha is not None)


@pytest.mark.parametrize("make", [outlier_channels, shifted_channels, skewed_gelu])
def test_auto_is_no_worse_than_any_fixed_alpha(make: Any) -> None:
    edge = statistics_of(make())
    auto = estimate_error(edge, WEIGHT, _choose(make()), EIGHT_BITS)
    for alpha in (None, *ALPHAS):
        fixed = _choose(make(), migration=alpha)
        assert auto <= estimate_error(edge, WEIGHT, fixed, EIGHT_BITS), alpha


@pytest.mark.parametrize("make", [normal, outlier_channels, skewed_gelu])
@pytest.mark.parametrize("hadamard", [1, 4])
def test_the_estimate_is_near_the_error(make: Any, hadamard: int) -> None:
    x = make()
    for migration in (None, 0.5):
        affine = _choose(x, migration=migration, hadamard=hadamard)
        power = ((x @ WEIGHT.T).astype(np.float64) ** 2).sum(axis=1).mean()
        found = _error(x, affine) * power
        assert 0.7 < estimate_error(statistics_of(x), WEIGHT, affine, EIGHT_BITS) / found < 1.5


def test_cheap_weights_make_more_scale_move_into_them() -> None:
    edge = statistics_of(outlier_channels())
    alphas = [
        choose_affine(edge, WEIGHT, Rounding(False, 127, share), migration="auto", shift=False).alpha
        for share in (0.01, 100.0)
    ]
    assert alphas[0] is not None
    assert alphas[1] is None or alphas[0] > alphas[1]


def test_one_huge_token_in_calibration_costs_the_others_little() -> None:
    """As large as the first token is behind GELU in the first layers of MiniLM."""
    x, unseen = normal(), normal(seed=1)
    x[7] *= 30
    assert _error(unseen, _choose(x)) < 1.5 * _error(unseen, _choose(normal()))


def test_channels_and_weights_of_zeros_stay_harmless() -> None:
    x, weight = normal(), WEIGHT.copy()
    x[:, 3] = 0
    x[:, 4] = 7
    weight[:, 8] = 0
    affine = _choose(x, weight=weight)
    assert np.isfinite(affine.multiplier).all()
    assert affine.multiplier.max() / np.median(affine.multiplier) < 100
    unseen = normal(seed=1)
    assert relative_error(unseen @ weight.T, _product(unseen, affine, weight)) < 2e-3


def test_all_zeros_change_nothing() -> None:
    affine = _choose(np.zeros((20, 64), np.float32))
    assert np.isfinite(affine.multiplier).all()
    assert not affine.offset.any()


def test_two_changes_are_one() -> None:
    x = normal()
    first, second = _choose(outlier_channels()), _choose(shifted_channels(), migration=0.3)
    both = first.then(second)
    by_turns = changed(changed(x, first), second)
    np.testing.assert_allclose(changed(x, both), by_turns, rtol=1e-5, atol=1e-4)


def test_channels_that_pad_a_head_change_no_scale_and_overflow_nothing() -> None:
    """A head of 2 is padded to 16: most channels of a value can be always zero."""
    x, weight = outlier_channels(), WEIGHT
    alone = _choose(x, weight=weight, migration=0.5)
    pad = ((0, 0), (0, 200))
    padded = _choose(np.pad(x, pad), weight=np.pad(weight, pad), migration=0.5)
    ratios = padded.multiplier[:64] / alone.multiplier
    np.testing.assert_allclose(ratios, ratios[0], rtol=1e-5)
    assert np.isfinite(padded.statistics(statistics_of(np.pad(x, pad))).covariance).all()
    assert np.isfinite(_choose(np.pad(x, pad), weight=np.pad(weight, pad)).multiplier).all()
