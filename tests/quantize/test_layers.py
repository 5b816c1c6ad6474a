"""One layer in 8 bits by each recipe: which methods take part, and what they leave of the error."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from bertc.ir import formulas
from bertc.ir.graph import Node
from bertc.quantize.edges import EdgePlan, plan_edge
from bertc.quantize.layers import RoundedLayer, round_layer
from bertc.recipe import Recipe
from tests.support.edges import (
    changed,
    correlated,
    normal,
    outlier_channels,
    relative_error,
    skewed_gelu,
    statistics_of,
)

Array = np.ndarray[Any, Any]
WEIGHT = normal(48, 64, seed=9) / np.sqrt(64, dtype=np.float32)
BIAS = normal(1, 48, seed=8)[0]
NORM = Node("norm", "layer_norm", {"x": "x"}, ("y",))
GELU = Node("dense", "linear", {"x": "x"}, ("y",), {"activation": "gelu"})
GATED = GELU.with_attributes(gated=1)
ATTENTION = Node("attention", "attention", {"qkv": "x"}, ("y",), {"num_attention_heads": 4})
PLAIN: dict[str, Any] = {
    "smoothing": {"migration": None, "channel_shift": False, "rotation": False},
    "weights": {"bound": "none", "clip": "max", "rounding": "nearest"},
    "bias_correction": False,
}


def _smoothing(settings: Mapping[str, Any] = MappingProxyType({}), **smoothing: Any) -> Recipe:
    return Recipe.from_dict({**settings, "smoothing": smoothing})


def _quantize(
    x: Array, recipe: Recipe, *, bits: int = 8, producer: Node = NORM
) -> tuple[EdgePlan, RoundedLayer]:
    plan = plan_edge(statistics_of(x), WEIGHT, bits, recipe, [producer])
    layer = round_layer(WEIGHT, BIAS, plan, recipe.weights, bits, with_bias_correction=recipe.bias_correction)
    return plan, layer


def _run(x: Array, plan: EdgePlan, layer: RoundedLayer) -> Array:
    weight = formulas.dequantize_per_channel(*layer.weight)
    return plan.round(changed(x, plan.affine)) @ weight.T + layer.bias


def _error(make: Any, recipe: Recipe, **settings: Any) -> float:
    plan, layer = _quantize(make(), recipe, **settings)
    unseen = make(seed=1) if make is not correlated else make()[::-1]
    return relative_error(unseen @ WEIGHT.T + BIAS, _run(unseen, plan, layer))


@pytest.mark.parametrize("make", [normal, outlier_channels, correlated])
@pytest.mark.parametrize("bits", [8, 7])
def test_the_default_is_better_than_rounding_to_nearest(make: Any, bits: int) -> None:
    """Weights are bounded in neither: what is compared is the methods."""
    nearest = _error(make, Recipe(**PLAIN), bits=bits)
    unbounded = Recipe.from_dict({"weights": {"bound": "none"}})
    assert _error(make, unbounded, bits=bits) < (1.02 if make is normal else 0.6) * nearest


def test_plain_recipes_round_to_nearest_and_change_nothing_else() -> None:
    plan, layer = _quantize(outlier_channels(), Recipe(**PLAIN))
    assert (plan.affine, plan.static) == (None, None)
    numbers, scale = formulas.quantize_per_channel(WEIGHT)
    np.testing.assert_array_equal(layer.weight.numbers, numbers)
    np.testing.assert_array_equal(layer.weight.scale, scale)
    np.testing.assert_array_equal(layer.bias, BIAS)


def test_without_statistics_weights_are_rounded_by_themselves() -> None:
    scheme = Recipe(weights={"rounding": "nearest"}).weights  # type: ignore[arg-type]
    layer = round_layer(WEIGHT, BIAS, None, scheme, 8, with_bias_correction=False)
    assert relative_error(WEIGHT, formulas.dequantize_per_channel(*layer.weight)) < 1e-4


def test_one_scale_per_tensor_is_repeated_for_every_channel() -> None:
    weights = {**PLAIN["weights"], "granularity": "per_tensor"}
    _, layer = _quantize(normal(), Recipe(**{**PLAIN, "weights": weights}))
    np.testing.assert_array_equal(layer.weight.scale, np.full(48, np.abs(WEIGHT).max() / np.float32(127)))


@pytest.mark.parametrize("mode", ["dynamic", "static", "mixed"])
def test_mixed_is_static_where_the_producer_can_write_8_bits(mode: str) -> None:
    recipe = Recipe(activations={"mode": mode})  # type: ignore[arg-type]
    found = [_quantize(normal(), recipe, producer=node)[0].static is not None for node in (NORM, GELU)]
    assert found == {"dynamic": [False, False], "static": [True, True], "mixed": [False, True]}[mode]


def test_what_gelu_gives_is_scaled_and_stays_where_it_is_written_in_8_bits_at_once() -> None:
    dynamic, _ = _quantize(skewed_gelu(), Recipe(), producer=GELU)
    assert dynamic.affine is not None and dynamic.affine.alpha is not None and not dynamic.affine.offset.any()
    for mode in ("static", "mixed"):
        recipe = Recipe(activations={"mode": mode})  # type: ignore[arg-type]
        assert _quantize(skewed_gelu(), recipe, producer=GELU)[0].affine is None


@pytest.mark.parametrize("rotation", [False, True])
def test_scaling_what_gelu_gives_makes_rows_finer(rotation: bool) -> None:
    with_scales, without = (
        _error(skewed_gelu, _smoothing(migration=migration, rotation=rotation), producer=GELU)
        for migration in ("auto", None)
    )
    assert with_scales < 0.8 * without


@pytest.mark.parametrize("rotation", [False, True])
@pytest.mark.parametrize("bound", ["none", "pairs"])
def test_signs_change_where_weights_are_bounded(bound: str, rotation: bool) -> None:
    """Those of channels that are mixed with each other alike."""
    plan, layer = _quantize(normal(), _smoothing({"weights": {"bound": bound}}, rotation=rotation))
    assert plan.affine is not None and (plan.affine.multiplier.min() < 0) == (bound == "pairs")
    assert plan.affine.hadamard == (4 if rotation else 1)
    signs = np.sign(plan.affine.multiplier).reshape(plan.affine.hadamard, -1)
    np.testing.assert_array_equal(signs, signs[:1].repeat(len(signs), axis=0))
    assert plan.after.low.min() < -3 and plan.after.high.max() > 3
    assert relative_error(normal(seed=1) @ WEIGHT.T + BIAS, _run(normal(seed=1), plan, layer)) < 2e-4


@pytest.mark.parametrize(
    ("mode", "mixed"), [("dynamic", "norm gelu gated"), ("mixed", "norm"), ("static", "")]
)
def test_rows_with_a_range_of_their_own_are_mixed_but_not_behind_attention(mode: str, mixed: str) -> None:
    producers = {"norm": NORM, "gelu": GELU, "gated": GATED, "attention": ATTENTION}
    recipe = Recipe(activations={"mode": mode})  # type: ignore[arg-type]
    found = {name: _quantize(normal(), recipe, producer=node)[0] for name, node in producers.items()}
    orders = {name: 1 if plan.affine is None else plan.affine.hadamard for name, plan in found.items()}
    assert orders == {name: 4 if name in mixed.split() else 1 for name in producers}


def test_channel_groups_mend_what_one_range_for_all_costs() -> None:
    def static(**settings: Any) -> float:
        return _error(outlier_channels, Recipe(**PLAIN, activations={"mode": "static", **settings}))

    weights_of_outliers = WEIGHT[:, [5, 40]].copy()
    WEIGHT[:, [5, 40]] /= 50
    groups = static(granularity="per_channel_group", group_size=8)
    tensor = static()
    WEIGHT[:, [5, 40]] = weights_of_outliers
    assert groups < 0.5 * tensor


@pytest.mark.parametrize("symmetric", [True, False])
def test_symmetric_static_ranges_use_zero_point_128(symmetric: bool) -> None:
    recipe = Recipe(**PLAIN, activations={"mode": "static", "symmetric": symmetric})
    plan, _ = _quantize(normal() + 1, recipe)
    assert plan.static is not None
    assert (plan.static.zero_point == 128) == symmetric


@pytest.mark.parametrize("rotation", [False, True])
def test_bias_correction_makes_the_mean_exact(rotation: bool) -> None:
    x = outlier_channels()
    smoothing = {**PLAIN["smoothing"], "rotation": rotation}
    recipe = Recipe(**{**PLAIN, "smoothing": smoothing, "bias_correction": True})
    plan, layer = _quantize(x, recipe)
    error = (_run(x, plan, layer) - (x @ WEIGHT.T + BIAS)).mean(axis=0)
    assert np.abs(error).max() < 1e-4
