"""Orders of channels with which weights exceed their bound less, and graphs whose channels move."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bertc.ir import formulas, interpreter
from bertc.ir.graph import Graph
from bertc.passes import fuse
from bertc.quantize.calibrate import calibrate, quantized_edges
from bertc.quantize.channel_order import choose_order, choose_signs
from bertc.quantize.fold_values import find_projections
from bertc.quantize.move_channels import move_channels
from bertc.quantize.precisions import choose_precisions
from bertc.quantize.quantize import Quantized, Quantizer
from bertc.recipe import Recipe
from tests.support import fidelity
from tests.support.edges import normal
from tests.support.tiny_graphs import (
    assert_same_results,
    bert_graph,
    gated_graph,
    sharing_heads,
    small_inputs,
)
from tests.support.tiny_models import packed_inputs

Array = np.ndarray[Any, Any]
BOUNDED = ("pairs", "fours")
INPUTS = packed_inputs([1, 5, 30])
ATTENTION = "encoder.layer.0.attention.self"
FFN = "encoder.layer.0.intermediate.dense"
RNG = np.random.default_rng(1)


def _heavy_tailed(rows: int = 48, columns: int = 96) -> Array:
    """Weights of which few are large, as trained ones."""
    return (normal(rows, columns, seed=3) * np.exp(0.7 * normal(rows, columns, seed=4))).astype(np.float32)


def _excess(weight: Array, bound: str) -> float:
    """What groups have beyond the bound where the largest weight is 127, squared, together."""
    numbers = weight / formulas.largest_scale(weight, 127)[:, None]
    groups = formulas.bounded_groups(weight.shape[1], bound)
    sums = (np.maximum(sign * numbers, 0) @ (groups[:, None] == np.unique(groups)) for sign in (1, -1))
    return float(sum((np.maximum(each - formulas.GROUP_LIMIT, 0) ** 2).sum() for each in sums))


@pytest.mark.parametrize("bound", BOUNDED)
def test_large_weights_of_one_sign_do_not_meet(bound: str) -> None:
    weight = _heavy_tailed()
    order = choose_order(weight, np.ones(96), 127, bound, (1, 1))
    assert sorted(order) == list(range(96))
    assert _excess(weight[:, order], bound) < {"pairs": 0.1, "fours": 0.5}[bound] * _excess(weight, bound)


@pytest.mark.parametrize("bound", BOUNDED)
def test_channels_that_stay_change_their_sign(bound: str) -> None:
    weight = np.abs(_heavy_tailed(columns=95))
    signs = choose_signs(weight, 127, bound)
    assert set(signs) == {1, -1}
    assert _excess(weight * signs, bound) < {"pairs": 1e-9, "fours": 0.2}[bound] * _excess(weight, bound)


def test_what_must_be_beyond_the_bound_is_so_in_channels_that_matter_little() -> None:
    weight, power = np.ones((4, 32), np.float32), np.tile([100.0, 1, 1, 100], 8)
    order = choose_order(weight, power, 127, "pairs", (1, 1))
    assert (power[order].reshape(-1, 2).sum(axis=1) == 101).all()


def test_channels_stay_in_their_heads_and_those_of_shared_values_move_alike() -> None:
    order = choose_order(_heavy_tailed(), RNG.uniform(size=96), 127, "pairs", (6, 3)).reshape(3, 2, 16)
    np.testing.assert_array_equal(order // 16, np.arange(6).reshape(3, 2, 1).repeat(16, axis=2))
    np.testing.assert_array_equal(order[:, 0] % 16, order[:, 1] % 16)
    assert (order[0, 0] % 16 != np.arange(16)).any()


def test_heads_whose_channels_share_groups_with_others_stay_as_they_are() -> None:
    order = choose_order(_heavy_tailed(), np.ones(96), 127, "fours", (8, 8))
    np.testing.assert_array_equal(order, np.arange(96))


@pytest.mark.parametrize("hidden", [32, 24])
@pytest.mark.parametrize("sharing", [False, True])
def test_moving_channels_keeps_the_function(hidden: int, sharing: bool) -> None:
    """Hidden size 24 has heads of 12, which are padded to 16."""
    graph = fuse(bert_graph(hidden_size=hidden))
    if sharing:
        graph = sharing_heads(graph)
    heads = np.stack([RNG.permutation(16), RNG.permutation(16)])
    orders = {
        ATTENTION: (heads[[0, 0] if sharing else [0, 1]] + [[0], [16]]).reshape(-1),
        FFN: RNG.permutation(64),
    }
    moved = move_channels(graph, orders)
    assert_same_results(graph, moved, INPUTS, atol=2e-5)
    before, after = (
        interpreter.run(each.with_nodes(each.nodes, outputs={name: name for name in orders}), INPUTS)
        for each in (graph, moved)
    )
    for name, order in orders.items():
        np.testing.assert_allclose(after[name], before[name][:, order], atol=1e-5)


def test_gates_move_with_their_values() -> None:
    graph = fuse(gated_graph())
    moved = move_channels(graph, {"ffn.multiply": RNG.permutation(20)})
    assert_same_results(graph, moved, small_inputs(), atol=2e-5)


def test_channels_that_something_else_reads_do_not_move() -> None:
    graph = fuse(bert_graph())
    layer = "encoder.layer.0"
    assert find_projections(graph)[FFN] == FFN and find_projections(graph)[ATTENTION] == f"{ATTENTION}.qkv"
    assert f"{layer}.output.dense" not in find_projections(graph)
    seen = graph.with_nodes(graph.nodes, outputs={**graph.outputs, "seen": FFN})
    assert FFN not in find_projections(seen)


def _new_order(weight: str, before: Graph, after: Graph) -> Array:
    """Where each row of a weight came from."""
    old, new = (graph.constants[weight].array for graph in (before, after))
    return np.abs(new[:, None] - old).max(axis=2).argmin(axis=1)


def _assert_parts_move_alike(order: Array, parts: int) -> None:
    split = order.reshape(parts, -1)
    size = split.shape[1]
    assert (split[0] != np.arange(size)).any() and sorted(split[0]) == list(range(size))
    np.testing.assert_array_equal(split, split[0] + size * np.arange(parts)[:, None])


@pytest.mark.parametrize("sharing", [False, True])
@pytest.mark.parametrize("bound", BOUNDED)
def test_channels_that_are_mixed_with_each_other_move_alike(bound: str, sharing: bool) -> None:
    """Eight parts of what GELU gives, four of what layer norms give; attention's channels move in heads."""
    graph = fuse(bert_graph(hidden_size=64, intermediate_size=128))
    if sharing:
        graph = sharing_heads(graph)
    quantized = _quantize(graph, Recipe.from_dict({"weights": {"bound": bound}}))
    mixed = {
        value: node.attributes.get("hadamard", 1) for node in quantized.graph.nodes for value in node.outputs
    }
    names = "embeddings.LayerNorm.smooth.q", f"{FFN}.smooth.q", f"{ATTENTION}.q"
    assert [mixed[name] for name in names] == [4, 8, 1]
    _assert_parts_move_alike(_new_order(f"{FFN}.weight", graph, quantized.reference), 8)
    assert_same_results(graph, quantized.reference, INPUTS, atol=5e-5)
    for node in quantized.graph.nodes:
        if node.op == "linear_int8":
            assert formulas.keeps_bound(quantized.graph.constants[node["weight"]].array, bound)
    expected, found = (interpreter.run(g, INPUTS)["last_hidden_state"] for g in (graph, quantized.graph))
    assert fidelity.sqnr_db(expected, found) > 28


def test_gated_channels_move_are_scaled_by_their_values_and_mixed() -> None:
    graph = fuse(gated_graph(width=128))
    rows = np.random.default_rng(0).integers(0, 10, 60).astype(np.int32)
    batch = {"input_ids": rows, "cu_seqlens": np.array([0, 60], np.int32)}
    precisions = dict.fromkeys(("ffn.gated", "out"), "int8") | {"x": "fp32"}
    statistics = calibrate(graph, [batch], interpreter.run, quantized_edges(graph, precisions))
    quantized = Quantizer(graph, Recipe(dtype="int8"), statistics)(precisions)
    affine = quantized.plans["ffn.multiply"].affine
    assert affine is not None and affine.alpha is not None and affine.hadamard == 8
    (node,) = (node for node in quantized.graph.nodes if node["x"] == "ffn.multiply")
    assert (node.op, node.inputs.keys(), node.attributes) == ("quantize_rows", {"x"}, {"hadamard": 8})
    order = _new_order("ffn.gated.weight", graph, quantized.reference)[:128]
    _assert_parts_move_alike(order, 8)
    assert_same_results(graph, quantized.reference, batch, atol=2e-5)
    found, expected = (interpreter.run(each, batch)["y"] for each in (quantized.graph, graph))
    assert fidelity.sqnr_db(expected, found) > 30


def _quantize(graph: Graph, recipe: Recipe) -> Quantized:
    precisions = choose_precisions(graph, recipe)
    batches = [packed_inputs([40, 9, 60], seed=seed) for seed in range(6)]
    statistics = calibrate(graph, batches, interpreter.run, quantized_edges(graph, precisions))
    return Quantizer(graph, recipe, statistics)(precisions)


@pytest.mark.parametrize("nodes", [{}, {FFN: "bf16"}])
@pytest.mark.parametrize("sharing", [False, True])
def test_bounded_weights_are_rounded_in_the_order_that_they_are_stored_in(
    nodes: dict[str, str], sharing: bool
) -> None:
    graph = fuse(bert_graph(sink=True))
    if sharing:
        graph = sharing_heads(graph)
    recipe = Recipe(weights={"bound": "fours"}, nodes=nodes)
    quantized = _quantize(graph, recipe)
    assert_same_results(graph, quantized.reference, INPUTS, atol=5e-5)
    weights = [n["weight"] for n in quantized.graph.nodes if n.op == "linear_int8"]
    for weight in weights:
        assert formulas.keeps_bound(quantized.graph.constants[weight].array, "fours")
    expected, found = (interpreter.run(g, INPUTS)["last_hidden_state"] for g in (graph, quantized.graph))
    assert fidelity.sqnr_db(expected, found) > 25
