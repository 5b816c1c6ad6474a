from __future__ import annotations

import numpy as np
import pytest

from bertc.ir import formulas, interpreter
from bertc.ir.graph import Graph
from bertc.passes import fuse
from bertc.quantize.constants import RoundedWeight
from bertc.quantize.fold_values import find_value_projections, fold_into_rounded, fold_values
from bertc.quantize.layers import RoundedLayer
from bertc.quantize.smooth import ChannelAffine
from tests.support.tiny_graphs import assert_same_results, bert_graph
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
