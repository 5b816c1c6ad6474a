"""Layers that share a module, as ALBERT's do: one plan, one rounding, one constant."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bertc.ir import interpreter
from bertc.ir.formulas import quantize_per_channel
from bertc.ir.graph import Constant, DType, Graph, Node
from bertc.lowering.lower import lower
from bertc.quantize.calibrate import calibrate, quantized_edges
from bertc.quantize.precisions import choose_precisions
from bertc.quantize.quantize import Quantized, Quantizer
from bertc.recipe import Recipe
from tests.support import fidelity
from tests.support.native import ISAS, run_native
from tests.support.tiny_graphs import IDS, embed, node
from tests.support.tiny_models import packed_inputs

Array = np.ndarray[Any, Any]
INPUTS = packed_inputs([1, 5, 30], seed=5)
BATCHES = [packed_inputs([40, 9, 60], seed=seed) for seed in range(6)]
WIDTH = 32
NODES = ("first", "second")
WEIGHT, BIAS = "shared.weight", "shared.bias"


def _graph() -> Graph:
    """Two linear layers with one weight and one bias, each behind a norm of its own.

    Channels differ in size and lie off center, and in each of the two inputs other ones.
    """
    rng = np.random.default_rng(3)
    numbers = {
        **{f"table.{name}": rng.normal(0, 1, (512, WIDTH)) for name in ("word", "position", "token_type")},
        **{f"norm.{name}.gamma": np.exp(rng.normal(0, 0.7, WIDTH)) for name in NODES},
        **{f"norm.{name}.beta": rng.normal(0, 1, WIDTH) for name in NODES},
        WEIGHT: rng.normal(0, 0.2, (WIDTH, WIDTH)),
        BIAS: rng.normal(0, 0.2, WIDTH),
    }
    nodes = [embed("x", **{name: f"table.{name}" for name in ("word", "position", "token_type")})]
    for name in NODES:
        vectors = (f"norm.{name}.gamma", f"norm.{name}.beta")
        nodes.append(node("layer_norm", f"norm.{name}", nodes[-1].name, *vectors, epsilon=1e-12))
        nodes.append(node("linear", name, nodes[-1].name).with_inputs(weight=WEIGHT, bias=BIAS))
    constants = {name: Constant(DType.F32, each.astype(np.float32)) for name, each in numbers.items()}
    return Graph(IDS, constants, tuple(nodes), {"y": nodes[-1].name}, "fused")


GRAPH = _graph()


def _quantize(recipe: Recipe, graph: Graph = GRAPH, **precisions: str) -> Quantized:
    chosen = {**choose_precisions(graph, recipe), **precisions}
    statistics = calibrate(graph, BATCHES, interpreter.run, quantized_edges(graph, chosen))
    return Quantizer(graph, recipe, statistics)(chosen)


def _nodes(graph: Graph) -> dict[str, Node]:
    return {each.name: each for each in graph.nodes}


def _db(graph: Graph) -> float:
    return fidelity.sqnr_db(interpreter.run(GRAPH, INPUTS)["y"], interpreter.run(graph, INPUTS)["y"])


RECIPES = {
    "default": Recipe(),
    "static": Recipe(activations={"mode": "static"}),
    "groups": Recipe(activations={"mode": "static", "granularity": "per_channel_group", "group_size": 8}),
    "nearest": Recipe.load("round-to-nearest"),
    "avx2": Recipe.load("avx2"),
}


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_a_module_used_twice_is_rounded_and_stored_once(recipe: Recipe) -> None:
    quantized = _quantize(recipe)
    nodes, constants = _nodes(quantized.graph), quantized.graph.constants
    assert [name for name, each in constants.items() if each.dtype == DType.I8 and "table" not in name] == [
        WEIGHT
    ]
    for operand, name in (("weight", WEIGHT), ("weight_scale", f"{WEIGHT}.scale"), ("bias", BIAS)):
        assert [nodes[each][operand] for each in NODES] == [name, name]
    if recipe.calibrates:
        assert quantized.plans["norm.first"] is quantized.plans["norm.second"]
        norms = [nodes[f"norm.{name}"] for name in NODES]
        assert norms[0]["multiplier"] and norms[0]["multiplier"] == norms[1]["multiplier"]
        assert norms[0]["offset"] == norms[1]["offset"]


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_a_shared_module_stays_close_to_fp32(recipe: Recipe) -> None:
    """8 bits over 7 standard deviations make (7 / 255)^2 / 12 of noise, 42 dB; four such roundings 36 dB.

    Weights of 7 bits make four times as much in two of the four: 4 dB.
    """
    assert _db(_quantize(recipe).graph) > (32 if recipe.weights.bits == 7 else 36)


def test_one_plan_for_two_inputs_is_better_than_none() -> None:
    assert _db(_quantize(Recipe()).graph) > _db(_quantize(RECIPES["nearest"]).graph) + 2


@pytest.mark.parametrize("name", NODES)
@pytest.mark.parametrize("other", ["fp32", "bf16", "int7"])
def test_users_of_a_module_may_compute_in_different_precisions(name: str, other: str) -> None:
    quantized = _quantize(Recipe(), **{name: other})
    nodes, constants = _nodes(quantized.graph), quantized.graph.constants
    (plain,) = set(NODES) - {name}
    assert nodes[name]["weight"] != nodes[plain]["weight"]
    assert np.abs(constants[nodes[plain]["weight"]].array).max() == 127
    if other == "fp32":
        assert (nodes[name]["weight"], nodes[name]["bias"]) == (WEIGHT, BIAS)
        assert constants[WEIGHT].array is GRAPH.constants[WEIGHT].array
    assert _db(quantized.graph) > (32 if other == "int7" else 36)


def test_a_table_that_is_also_a_weight_keeps_its_own_rounding() -> None:
    bias = Constant(DType.F32, np.zeros(512, np.float32))
    tied = [
        each.with_inputs(weight="table.word", bias="tied") if each.name == "second" else each
        for each in GRAPH.nodes
    ]
    graph = GRAPH.with_nodes(tied, constants={**GRAPH.constants, "tied": bias})
    quantized = _quantize(Recipe(), graph)
    nodes, constants = _nodes(quantized.graph), quantized.graph.constants
    expected, _ = quantize_per_channel(graph.constants["table.word"].array)
    np.testing.assert_array_equal(constants[nodes["x"]["word"]].array, expected)
    assert not np.array_equal(constants[nodes["second"]["weight"]].array, expected)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_the_native_core_runs_a_shared_module_from_one_tensor(recipe: Recipe) -> None:
    graph = _quantize(recipe).graph
    lowered = lower(graph)
    assert [each.inputs["weight"] for each in lowered.program.steps if each.op == "linear_int8"] == [
        WEIGHT
    ] * 2
    found = run_native(graph, INPUTS, ISAS[-1])["y"]
    assert fidelity.sqnr_db(interpreter.run(graph, INPUTS)["y"], found) > 60
