from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bertc.ir import formulas, interpreter
from bertc.ir.graph import Graph
from bertc.passes import fuse
from bertc.quantize.calibrate import calibrate, quantized_edges
from bertc.quantize.constants import RoundedWeight
from bertc.quantize.fold_values import find_value_projections, fold_into_rounded, fold_values
from bertc.quantize.layers import RoundedLayer
from bertc.quantize.precisions import choose_precisions
from bertc.quantize.quantize import Quantizer
from bertc.quantize.smooth import ChannelAffine
from bertc.recipe import Recipe
from tests.support.tiny_graphs import (
    assert_same_results,
    bert_graph,
    gated_graph,
    sharing_heads,
    small_inputs,
)
from tests.support.tiny_models import packed_inputs

INPUTS = packed_inputs([1, 5, 30])
ATTENTION = "encoder.layer.0.attention.self"


def _affine(channels: int) -> ChannelAffine:
    rng = np.random.default_rng(3)
    multiplier, offset = rng.uniform(0.2, 5, channels), rng.normal(0, 3, channels)
    return ChannelAffine(multiplier.astype(np.float32), offset.astype(np.float32), 0.5)


@pytest.mark.parametrize("hidden", [32, 24])
def test_the_function_is_kept_and_the_output_of_attention_changes(hidden: int) -> None:
    """Hidden size 24 has heads of 12, which are padded to 16."""
    graph = fuse(bert_graph(hidden_size=hidden))
    channels = 32
    affine = _affine(channels)
    folded = fold_values(graph, {ATTENTION: affine})
    assert_same_results(graph, folded, INPUTS, atol=2e-5)
    before, after = (
        interpreter.run(each.with_nodes(each.nodes, outputs={"y": ATTENTION}), INPUTS)["y"]
        for each in (graph, folded)
    )
    np.testing.assert_allclose(after, before * affine.multiplier + affine.offset, atol=1e-5)


def test_folding_after_rounding_scales_what_was_rounded() -> None:
    graph = fuse(bert_graph())
    affine = _affine(32)
    weight, bias = (graph.constants[f"{ATTENTION}.qkv.{each}"].array for each in ("weight", "bias"))
    layer = RoundedLayer(RoundedWeight(*formulas.quantize_per_channel(weight)), bias)
    folded = fold_into_rounded(layer, affine)
    again = fold_values(graph, {ATTENTION: affine}).constants
    np.testing.assert_array_equal(folded.weight.numbers, layer.weight.numbers)
    expected = formulas.quantize_per_channel(again[f"{ATTENTION}.qkv.weight"].array)[1]
    np.testing.assert_allclose(folded.weight.scale, expected, rtol=1e-6)
    np.testing.assert_allclose(folded.bias, again[f"{ATTENTION}.qkv.bias"].array, rtol=1e-6)


def test_projections_are_found_by_structure() -> None:
    graph = fuse(bert_graph(num_hidden_layers=2))
    assert find_value_projections(graph) == {
        f"encoder.layer.{i}.attention.self": f"encoder.layer.{i}.attention.self.qkv" for i in range(2)
    }


def _reading(graph: Graph, name: str, operand: str, value: str) -> Graph:
    """The graph in which an operand of a node is another value."""
    return graph.with_nodes(
        node.with_inputs(**{operand: value}) if node.name == name else node for node in graph.nodes
    )


@pytest.mark.parametrize(
    ("name", "operand", "value"),
    [
        ("encoder.layer.0.output.dense", "residual", ATTENTION),
        ("encoder.layer.1.attention.self.qkv", "weight", f"{ATTENTION}.qkv.weight"),
        ("encoder.layer.1.attention.output.dense", "bias", "encoder.layer.0.attention.output.dense.bias"),
    ],
)
def test_what_something_else_reads_too_is_left_alone(name: str, operand: str, value: str) -> None:
    graph = _reading(fuse(bert_graph(num_hidden_layers=2)), name, operand, value)
    assert ATTENTION not in find_value_projections(graph)


def test_gated_values_are_scaled_by_their_weights() -> None:
    graph = fuse(gated_graph())
    assert find_value_projections(graph) == {"ffn.multiply": "ffn.gated"}
    affine = ChannelAffine(_affine(20).multiplier, np.zeros(20, np.float32), 0.5)
    folded = fold_values(graph, {"ffn.multiply": affine})
    assert_same_results(graph, folded, small_inputs(), atol=2e-5)
    before, after = (
        interpreter.run(each.with_nodes(each.nodes, outputs={"y": "ffn.multiply"}), small_inputs())["y"]
        for each in (graph, folded)
    )
    np.testing.assert_allclose(after, before * affine.multiplier, atol=1e-5)


def test_gated_values_are_scaled_and_never_shifted() -> None:
    graph = fuse(gated_graph())
    rows = np.random.default_rng(0).integers(0, 10, 60).astype(np.int32)
    batch = {"input_ids": rows, "cu_seqlens": np.array([0, 60], np.int32)}
    recipe = Recipe(dtype="int8")
    precisions = dict.fromkeys(("ffn.gated", "out"), "int8") | {"x": "fp32"}
    statistics = calibrate(graph, [batch], interpreter.run, quantized_edges(graph, precisions))
    quantized = Quantizer(graph, recipe, statistics)(precisions)
    affine = quantized.plans["ffn.multiply"].affine
    assert affine is not None and affine.alpha is not None and not affine.offset.any()
    assert [node.op for node in quantized.graph.nodes].count("quantize_rows") == 2
    assert all(node["multiplier"] == "" for node in quantized.graph.nodes if node["x"] == "ffn.multiply")
    found, expected = (interpreter.run(each, batch)["y"] for each in (quantized.graph, graph))
    assert np.abs(found - expected).max() <= 0.05 * np.abs(expected).max()


@pytest.mark.parametrize(
    "activations", [{}, {"mode": "static", "granularity": "per_channel_group", "group_size": 8}]
)
def test_heads_that_share_values_are_changed_alike(activations: dict[str, Any]) -> None:
    graph, recipe = sharing_heads(fuse(bert_graph())), Recipe(dtype="int8", activations=activations)
    precisions = choose_precisions(graph, recipe)
    batches = [packed_inputs([20, 9, 30, 1], seed=seed) for seed in range(3)]
    statistics = calibrate(graph, batches, interpreter.run, quantized_edges(graph, precisions))
    quantized = Quantizer(graph, recipe, statistics)(precisions)
    affine = quantized.plans[ATTENTION].affine
    assert affine is not None and (affine.multiplier != 1).any() and affine.offset.any()
    assert affine.hadamard == 1
    for vector in (affine.multiplier, affine.offset):
        np.testing.assert_array_equal(vector[:16], vector[16:])
    assert_same_results(graph, quantized.reference, INPUTS, atol=2e-5)
    found, expected = (interpreter.run(each, INPUTS) for each in (quantized.graph, graph))
    for name, array in expected.items():
        # That of heads which share nothing is 0.12 at most.
        assert np.linalg.norm(found[name] - array) <= 0.1 * np.linalg.norm(array)
