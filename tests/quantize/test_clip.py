from __future__ import annotations

import numpy as np
import pytest

from bertc.ir import formulas
from bertc.quantize.clip import search_scale
from tests.support.edges import normal

WEIGHT = normal(20, 256, seed=4)
POWER = np.ones(256)


def _error(weight: np.ndarray, scale: np.ndarray, power: np.ndarray, limit: int) -> np.ndarray:  # type: ignore[type-arg]
    rounded = formulas.dequantize_per_channel(formulas.round_to_scale(weight, scale, limit), scale)
    error: np.ndarray = ((weight - rounded) ** 2) @ power  # type: ignore[type-arg]
    return error


@pytest.mark.parametrize("limit", [127, 63])
def test_a_lone_large_weight_on_a_weak_input_is_clipped(limit: int) -> None:
    weight, power = WEIGHT.copy(), POWER.copy()
    weight[:, 9] = 10.0
    power[9] = 1e-6
    largest = formulas.largest_scale(weight, limit)
    scale = search_scale(weight, power, limit)
    assert (_error(weight, scale, power, limit) < 0.35 * _error(weight, largest, power, limit)).all()
    assert (scale < 0.6 * largest).all()


def test_a_large_weight_that_matters_is_kept() -> None:
    weight = WEIGHT.copy()
    weight[:, 9] = 10.0
    np.testing.assert_allclose(
        search_scale(weight, POWER, 127), formulas.largest_scale(weight, 127), rtol=0.03
    )


def test_no_row_gets_worse() -> None:
    power = np.random.default_rng(0).uniform(0, 1, 256)
    largest = formulas.largest_scale(WEIGHT, 63)
    scale = search_scale(WEIGHT, power, 63)
    assert (_error(WEIGHT, scale, power, 63) <= _error(WEIGHT, largest, power, 63)).all()
    assert (scale < largest).any()


def test_zeros_keep_scale_zero() -> None:
    assert not search_scale(np.zeros((2, 256), np.float32), POWER, 127).any()
