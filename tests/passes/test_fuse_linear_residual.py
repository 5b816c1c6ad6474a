from __future__ import annotations

import dataclasses

import pytest

from bertc.ir.graph import Graph
from bertc.passes.fuse_linear_residual import fuse_linear_residual
from tests.support.tiny_graphs import (
    assert_same_results,
    linear_constants,
    node,
    ops,
    small_graph,
    small_inputs,
)


def _graph(left: str, right: str) -> Graph:
    graph = small_graph()
    constants = {**graph.constants, **linear_constants("other", 4, 8, seed=5)}
    nodes = (
        *graph.nodes,
        node("linear", "other", "x"),
        node("tanh", "late", "other"),
        node("add", "sum", left, right),
    )
    return graph.with_nodes(nodes, constants=constants, outputs={"y": "sum"})


@pytest.mark.parametrize("operands", [("dense", "late"), ("late", "dense")])
def test_the_sum_moves_into_the_linear_layer_behind_the_residual(operands: tuple[str, str]) -> None:
    graph = _graph(*operands)
    fused = fuse_linear_residual(graph)
    assert ops(fused) == ["embed", "linear", "tanh", "linear"]
    assert (fused.nodes[-1].name, fused.nodes[-1]["residual"]) == ("dense", "late")
    assert_same_results(graph, fused, small_inputs(), atol=0)


def test_of_two_linear_layers_one_takes_the_other_as_residual() -> None:
    graph = _graph("dense", "other")
    fused = fuse_linear_residual(graph)
    assert fused.nodes[-1]["residual"] == "other"
    assert_same_results(graph, fused, small_inputs(), atol=0)


def test_a_linear_layer_whose_plain_result_is_needed_is_left() -> None:
    graph = _graph("dense", "late")
    graph = dataclasses.replace(graph, outputs={**graph.outputs, "plain": "dense"})
    assert ops(fuse_linear_residual(graph)) == ops(graph)


def test_a_layer_takes_one_residual_only() -> None:
    graph = _graph("dense", "late")
    graph = graph.with_nodes((*graph.nodes, node("add", "again", "sum", "x4")))
    extra = node("linear", "x4", "x")
    constants = {**graph.constants, **linear_constants("x4", 4, 8, seed=9)}
    graph = graph.with_nodes(
        (graph.nodes[0], extra, *graph.nodes[1:]), constants=constants, outputs={"y": "again"}
    )
    fused = fuse_linear_residual(graph)
    assert ops(fused).count("add") == 0
    assert_same_results(graph, fused, small_inputs(), atol=0)
