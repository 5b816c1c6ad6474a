"""Bias correction on what it is for: errors that are the same for every token."""

from __future__ import annotations

import numpy as np

from bertc.ir import formulas
from bertc.quantize.bias_correction import correct_bias
from bertc.quantize.edges import EdgePlan
from bertc.quantize.static_scales import covered_range, static_scale
from bertc.recipe import Observer
from tests.support.edges import dynamic, normal, skewed_gelu, statistics_of

WEIGHT = normal(40, 64, seed=5) + 0.2
BIAS = normal(1, 40, seed=6)[0]


def test_skewed_inputs_and_coarse_weights_are_right_on_average() -> None:
    """Numbers after GELU are mostly small and rounded alike; weights of 4 bits are off by much."""
    x, unseen = skewed_gelu(), skewed_gelu(seed=1)
    x[:, 0], unseen[:, 0] = 30 * x[:, 0], 30 * unseen[:, 0]  # leaves the others few steps
    rounded = formulas.dequantize_per_channel(*formulas.quantize_per_channel(WEIGHT, 4))
    after = statistics_of(x).mean + (dynamic(x) - x).mean(axis=0, dtype=np.float64)
    bias = correct_bias(BIAS, WEIGHT, statistics_of(x).mean, rounded, after)
    expected = unseen @ WEIGHT.T + BIAS
    plain = (dynamic(unseen) @ rounded.T + BIAS - expected).mean(axis=0)
    corrected = (dynamic(unseen) @ rounded.T + bias - expected).mean(axis=0)
    assert np.abs(corrected).mean() < 0.2 * np.abs(plain).mean()


def test_what_is_clipped_in_few_tokens_is_not_taken_off_the_bias_of_all() -> None:
    """One token in fifty is huge in one channel: its loss is not to be an error of the other 49."""
    x, unseen = normal(), normal(seed=1)
    x[::50, 0] = 80
    edge = statistics_of(x)
    static = static_scale(edge, Observer(kind="percentile", percentile=99.9), symmetric=False)
    assert covered_range(static)[1] < 8
    plan = EdgePlan(edge, None, static)
    bias = correct_bias(BIAS, WEIGHT, edge.mean, WEIGHT, plan.mean_after_rounding())
    error = (plan.round(unseen) @ WEIGHT.T + bias) - (unseen @ WEIGHT.T + BIAS)
    assert np.abs(error.mean(axis=0)).max() < 0.05 * np.abs(80 / 50 * WEIGHT[:, 0]).mean()


def test_an_exact_layer_keeps_its_bias() -> None:
    mean = normal(1, 64)[0].astype(np.float64)
    np.testing.assert_array_equal(correct_bias(BIAS, WEIGHT, mean, WEIGHT, mean), BIAS)
