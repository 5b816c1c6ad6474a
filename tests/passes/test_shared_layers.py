"""Layers that share their modules, as ALBERT's do: one constant before and after the passes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from bertc.ir.graph import Graph
from bertc.lowering.lower import lower
from bertc.passes import fuse
from tests.support.tiny_graphs import assert_same_results, bert_graph
from tests.support.tiny_models import packed_inputs

FIRST, SECOND = (f"encoder.layer.{i}" for i in range(2))
QKV, DENSE = f"{FIRST}.attention.self.qkv", f"{FIRST}.attention.output.dense"
INPUTS = packed_inputs([1, 11])


def _shared(hidden_size: int, **changes: str) -> Graph:
    """Two layers, the second with the modules of the first; ``changes`` are inputs of its queries."""
    graph = bert_graph("token_classification", hidden_size=hidden_size, num_hidden_layers=2)
    nodes = []
    for node in graph.nodes:
        names = {operand: value for operand, value in node.inputs.items() if value in graph.constants}
        node = node.with_inputs(**{name: value.replace(SECOND, FIRST) for name, value in names.items()})
        is_query = node.name == f"{SECOND}.attention.self.query"
        nodes.append(node.with_inputs(**changes) if is_query else node)
    constants = {name: each for name, each in graph.constants.items() if not name.startswith(SECOND)}
    return graph.with_nodes(nodes, constants=constants)


@pytest.mark.parametrize("hidden_size", [32, 36])
def test_shared_projections_become_one_constant_that_is_padded_and_stored_once(hidden_size: int) -> None:
    graph = _shared(hidden_size)
    fused = fuse(graph)
    assert_same_results(graph, fused, INPUTS, atol=5e-6)
    nodes = {node.name: node for node in fused.nodes}
    assert {f"{SECOND}.attention.self.qkv", f"{SECOND}.output.dense"} <= nodes.keys()
    for layer in (FIRST, SECOND):
        qkv = nodes[f"{layer}.attention.self.qkv"]
        assert (qkv["weight"], qkv["bias"]) == (f"{QKV}.weight", f"{QKV}.bias")
        assert nodes[f"{layer}.attention.output.dense"]["weight"] == f"{DENSE}.weight"
    width = 32 if hidden_size == 32 else 2 * 32
    assert fused.constants[f"{QKV}.weight"].array.shape == (3 * width, hidden_size)
    assert fused.constants[f"{QKV}.bias"].array.shape == (3 * width,)
    assert fused.constants[f"{DENSE}.weight"].array.shape == (hidden_size, width)
    executable = lower(fused)
    assert executable.tensors.keys() == fused.constants.keys()
    assert not [name for name in executable.tensors if name.startswith(SECOND)]


def test_shared_heads_are_left_where_one_layer_cannot_take_them_padded() -> None:
    graph = _shared(36)
    graph = dataclasses.replace(graph, outputs={**graph.outputs, "context": f"{SECOND}.attention.self"})
    fused = fuse(graph)
    assert fused.constants[f"{QKV}.weight"].array.shape == (3 * 36, 36)
    assert fused.constants[f"{DENSE}.weight"].array.shape == (36, 36)
    assert_same_results(graph, fused, INPUTS, atol=5e-6)


def test_layers_that_share_some_projections_keep_apart_what_they_become() -> None:
    graph = _shared(32, weight="other")
    weight = graph.constants[f"{FIRST}.attention.self.query.weight"]
    other = dataclasses.replace(weight, source=weight.array[::-1].copy())
    graph = dataclasses.replace(graph, constants={**graph.constants, "other": other})
    fused = fuse(graph)
    assert_same_results(graph, fused, INPUTS, atol=5e-6)
    first, second = (node for node in fused.nodes if node.name.endswith(".qkv"))
    assert first["bias"] == second["bias"] and first["weight"] != second["weight"]
    stacked = fused.constants[second["weight"]].array
    np.testing.assert_array_equal(stacked[:32], other.array)
    np.testing.assert_array_equal(stacked[32:], fused.constants[first["weight"]].array[32:])


def test_two_modules_that_share_a_parent_get_two_names() -> None:
    graph = _shared(32, weight=f"{FIRST}.attention.self.key.weight")
    fused = fuse(graph)
    assert_same_results(graph, fused, INPUTS, atol=5e-6)
    weights = [node["weight"] for node in fused.nodes if node.name.endswith(".qkv")]
    assert len({*weights}) == 2 and set(weights) <= fused.constants.keys()
