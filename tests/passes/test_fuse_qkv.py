from __future__ import annotations

import dataclasses

import numpy as np

from bertc.ir.graph import Graph
from bertc.passes.fuse_qkv import fuse_qkv
from tests.support.tiny_graphs import assert_same_results, bert_graph, ops, with_distance_bias
from tests.support.tiny_models import packed_inputs

QKV = "encoder.layer.0.attention.self.qkv"


def test_projections_are_stacked_in_the_order_query_key_value() -> None:
    graph = bert_graph(num_hidden_layers=1)
    fused = fuse_qkv(graph)
    assert_same_results(graph, fused, packed_inputs([1, 9]), atol=5e-6)
    parts = [f"encoder.layer.0.attention.self.{name}" for name in ("query", "key", "value")]
    for kind in ("weight", "bias"):
        stacked = np.concatenate([graph.constants[f"{part}.{kind}"].array for part in parts])
        np.testing.assert_array_equal(fused.constants[f"{QKV}.{kind}"].array, stacked)
    attention = next(node for node in fused.nodes if node.op == "attention")
    assert attention.attributes == {"num_attention_heads": 2, "scale": 0.25}
    assert attention.inputs == {"qkv": QKV, "cu_seqlens": "cu_seqlens"}


def test_attention_keeps_its_other_operands() -> None:
    graph = with_distance_bias(bert_graph(num_hidden_layers=1))
    fused = fuse_qkv(graph)
    assert_same_results(graph, fused, packed_inputs([1, 9]), atol=5e-6)
    attention = next(node for node in fused.nodes if node.op == "attention")
    assert attention.inputs == {"qkv": QKV, "cu_seqlens": "cu_seqlens", "distance_bias": "distance_bias"}


def test_a_projection_that_something_else_reads_is_put_beside_the_others() -> None:
    graph = bert_graph(num_hidden_layers=1)
    outputs = {**graph.outputs, "key": "encoder.layer.0.attention.self.key"}
    _assert_side_by_side(dataclasses.replace(graph, outputs=outputs))


def test_projections_of_different_values_are_put_side_by_side() -> None:
    graph = bert_graph(num_hidden_layers=1)
    key = "encoder.layer.0.attention.self.key"
    nodes = [n.with_inputs(x="embeddings.add_position") if n.name == key else n for n in graph.nodes]
    _assert_side_by_side(graph.with_nodes(nodes))


def _assert_side_by_side(graph: Graph) -> None:
    fused = fuse_qkv(graph)
    assert_same_results(graph, fused, packed_inputs([1, 9]), atol=0)
    before = ops(graph)
    at = before.index("attention")
    assert ops(fused) == [*before[:at], "concat", "concat", *before[at:]]
    assert fused.nodes[at + 2].inputs == {
        "qkv": "encoder.layer.0.attention.self.qkv",
        "cu_seqlens": "cu_seqlens",
    }
