from __future__ import annotations

import dataclasses

import pytest

from bertc.ir.graph import Graph
from bertc.passes.fuse_linear_activation import fuse_linear_activation
from tests.support.tiny_graphs import assert_same_results, node, ops, small_graph, small_inputs


def _graph(*activations: str) -> Graph:
    graph = small_graph()
    nodes = list(graph.nodes)
    for name in activations:
        nodes.append(node(name, f"act{len(nodes)}", nodes[-1].name))
    return graph.with_nodes(nodes, outputs={"y": nodes[-1].name})


@pytest.mark.parametrize("activation", ["gelu", "gelu_tanh", "relu", "tanh"])
def test_the_activation_moves_into_the_linear_layer_with_the_same_bits(activation: str) -> None:
    graph = _graph(activation)
    fused = fuse_linear_activation(graph)
    assert ops(fused) == ["embed", "linear"]
    assert fused.nodes[1].attributes["activation"] == activation
    assert_same_results(graph, fused, small_inputs(), atol=0)


def test_a_second_activation_stays() -> None:
    graph = _graph("gelu", "tanh")
    fused = fuse_linear_activation(graph)
    assert ops(fused) == ["embed", "linear", "tanh"]
    assert_same_results(graph, fused, small_inputs(), atol=0)


def test_a_linear_layer_whose_plain_result_is_needed_is_left() -> None:
    graph = _graph("gelu")
    graph = dataclasses.replace(graph, outputs={**graph.outputs, "plain": "dense"})
    assert ops(fuse_linear_activation(graph)) == ops(graph)
