"""The driver on whole graphs: recipes reach layers, variants share what was chosen, functions are kept."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bertc.errors import InputError, RecipeError
from bertc.ir import interpreter
from bertc.ir.graph import Graph
from bertc.passes import fuse
from bertc.quantize.apply import apply_recipe
from bertc.quantize.calibrate import calibrate, quantized_edges
from bertc.quantize.precisions import choose_precisions
from bertc.quantize.quantize import Quantized, Quantizer
from bertc.quantize.statistics import Statistics
from bertc.recipe import Recipe
from tests.support import fidelity
from tests.support.tiny_graphs import assert_same_results, bert_graph, ops
from tests.support.tiny_models import packed_inputs

LAYER = "encoder.layer.0"
INPUTS = packed_inputs([1, 5, 30], seed=5)
BATCHES = [packed_inputs([40, 9, 60], seed=seed) for seed in range(6)]
PLAIN = Recipe.load("round-to-nearest")
FUSED = fuse(bert_graph())


def _statistics(graph: Graph) -> Statistics:
    edges = quantized_edges(graph, choose_precisions(graph, Recipe()))
    return calibrate(graph, BATCHES, interpreter.run, edges)


STATISTICS = _statistics(FUSED)


def _quantize(recipe: Recipe, graph: Graph = FUSED, statistics: Statistics | None = STATISTICS) -> Quantized:
    return Quantizer(graph, recipe, statistics)(choose_precisions(graph, recipe))


def _db(graph: Graph, reference: Graph = FUSED) -> float:
    name = "last_hidden_state"
    expected, found = interpreter.run(reference, INPUTS)[name], interpreter.run(graph, INPUTS)[name]
    return fidelity.sqnr_db(expected, found)


def test_the_default_recipe_loses_less_than_rounding_to_nearest() -> None:
    assert _db(_quantize(Recipe()).graph) > _db(apply_recipe(FUSED, Recipe())) + 1.5


def test_no_op_is_added_to_the_program() -> None:
    """Migration and shift are part of layer norms, of conversions that are there, and of weights."""
    assert ops(_quantize(Recipe()).graph) == ops(apply_recipe(FUSED, Recipe()))


def test_round_to_nearest_needs_no_statistics_and_is_what_apply_gives() -> None:
    assert not PLAIN.calibrates
    found, expected = _quantize(PLAIN, statistics=None), apply_recipe(FUSED, Recipe())
    assert found.graph.nodes == expected.nodes
    for name, constant in expected.constants.items():
        np.testing.assert_array_equal(found.graph.constants[name].array, constant.array)
    assert not found.plans


@pytest.mark.parametrize(
    "changes",
    [
        {"weights": {"rounding": "gptq"}},
        {"smoothing": {"channel_shift": True, "migration": None}},
        {"smoothing": {"channel_shift": False, "migration": 0.5}},
        {"bias_correction": True},
        {"activations": {"mode": "static"}},
    ],
)
def test_every_calibrated_method_says_that_it_needs_statistics(changes: dict[str, Any]) -> None:
    recipe = Recipe.from_dict({**PLAIN.to_dict(), **changes})
    assert recipe.calibrates
    with pytest.raises(RecipeError, match="this recipe calibrates: give it statistics"):
        _quantize(recipe, statistics=None)


def test_a_model_without_8_bit_layers_needs_no_statistics() -> None:
    assert not _quantize(Recipe(dtype="bf16"), statistics=None).plans


def test_values_of_the_reference_mean_what_they_mean_in_the_typed_graph() -> None:
    quantized = _quantize(Recipe())
    assert_same_results(FUSED, quantized.reference, INPUTS, atol=1e-5)
    names = [n.outputs[0] for n in FUSED.nodes if n.op in ("linear", "attention")]
    outputs = dict(zip(names, names, strict=True))
    expected = interpreter.run(quantized.reference.with_nodes(FUSED.nodes, outputs=outputs), INPUTS)
    found = interpreter.run(quantized.graph.with_nodes(quantized.graph.nodes, outputs=outputs), INPUTS)
    for name in names:
        assert fidelity.sqnr_db(expected[name], found[name]) > 20, name


@pytest.mark.parametrize("exclude", [("*.qkv",), ("*.attention.output.dense",), ("*.dense",), ("*",)])
@pytest.mark.parametrize("other", ["fp32", "bf16"])
def test_any_mixture_of_precisions_verifies_and_stays_close(exclude: tuple[str, ...], other: str) -> None:
    recipe = Recipe(nodes=dict.fromkeys(exclude, other))
    assert _db(_quantize(recipe).graph) > 30


def test_everything_in_fp32_is_the_fused_graph() -> None:
    found = _quantize(Recipe(dtype="fp32"))
    assert found.graph.nodes == FUSED.nodes
    assert_same_results(FUSED, found.graph, INPUTS, atol=0)


def test_variants_share_what_was_chosen_for_layers_that_stay() -> None:
    recipe = Recipe()
    precisions = choose_precisions(FUSED, recipe)
    quantizer = Quantizer(FUSED, recipe, STATISTICS)
    whole = quantizer(precisions)
    partly = quantizer({**precisions, f"{LAYER}.intermediate.dense": "fp32"})
    edge = "embeddings.LayerNorm"
    assert partly.plans[edge] is whole.plans[edge]
    assert f"{LAYER}.attention.output.LayerNorm" not in partly.plans
    weight = f"{LAYER}.output.dense.weight"
    assert partly.graph.constants[weight].array is whole.graph.constants[weight].array
    seven = quantizer({**precisions, f"{LAYER}.output.dense": "int7"})
    assert np.abs(seven.graph.constants[weight].array).max() == 63


def test_compiling_twice_gives_the_same_numbers() -> None:
    first, second = _quantize(Recipe()).graph, _quantize(Recipe(), statistics=_statistics(FUSED)).graph
    for name, constant in first.constants.items():
        np.testing.assert_array_equal(constant.array, second.constants[name].array, err_msg=name)


def test_statistics_of_another_model_are_refused() -> None:
    for other in (Statistics({}), _statistics(fuse(bert_graph(hidden_size=64)))):
        with pytest.raises(
            InputError, match=r"do not fit this model: .*embeddings.LayerNorm with 32 channels"
        ):
            _quantize(Recipe(), statistics=other)


def test_a_weight_that_two_layers_share_is_rounded_once_for_both() -> None:
    first, second = (f"encoder.layer.{i}.intermediate.dense" for i in range(2))
    nodes = [
        n.with_inputs(weight=f"{first}.weight", bias=f"{first}.bias") if n.name == second else n
        for n in FUSED.nodes
    ]
    graph = FUSED.with_nodes(nodes)
    quantized = _quantize(Recipe(), graph, _statistics(graph))
    weights = {n.name: n["weight"] for n in quantized.graph.nodes if n.name in (first, second)}
    assert weights == dict.fromkeys((first, second), f"{first}.weight")
    assert _db(quantized.graph, graph) > _db(apply_recipe(graph, Recipe()), graph)


@pytest.mark.parametrize("preset", ["vendor-static", "vendor-percentile", "avx2"])
def test_presets_compile(preset: str) -> None:
    recipe = Recipe.load(preset)
    graph = fuse(bert_graph("classification"))
    edges = quantized_edges(graph, choose_precisions(graph, recipe))
    statistics = calibrate(graph, BATCHES, interpreter.run, edges)
    found = interpreter.run(_quantize(recipe, graph, statistics).graph, INPUTS)["logits"]
    assert fidelity.sqnr_db(interpreter.run(graph, INPUTS)["logits"], found) > 6
