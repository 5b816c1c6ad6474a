from __future__ import annotations

import dataclasses

import pytest

import bertc.passes
from bertc.errors import GraphError
from bertc.ir.graph import Graph, Node
from bertc.passes import fuse
from bertc.ports import SELECTED, Port
from bertc.primitives.host_steps import find_host_steps
from tests.support.tiny_graphs import assert_same_results, bert_graph, node, ops, small_graph
from tests.support.tiny_models import packed_inputs

ROUNDING = 5e-6
"""A few float32 roundings of values of order one: BLAS sums in another order for other shapes."""

LAYER = [
    "linear",  # query, key, value
    "attention",
    "linear",  # attention.output.dense
    "layer_norm",
    "linear",  # intermediate.dense
    "linear",  # output.dense
    "layer_norm",
]


@pytest.mark.parametrize(
    ("head", "tail"),
    [
        ("embedding", ["pool", "linear", "pool"]),
        ("classification", ["pool", "linear", "linear"]),
        ("token_classification", ["linear"]),
    ],
)
def test_bert_fuses_to_exactly_the_ops_that_kernels_run(head: str, tail: list[str]) -> None:
    fused = fuse(bert_graph(head))
    assert fused.stage == "fused"
    assert ops(fused) == ["embed", "layer_norm", *LAYER, *LAYER, *tail]


@pytest.mark.parametrize("head", ["embedding", "classification", "token_classification"])
@pytest.mark.parametrize("sizes", [{}, {"hidden_size": 312, "num_attention_heads": 12, "vocab_size": 1000}])
def test_fusion_keeps_the_results(head: str, sizes: dict[str, int]) -> None:
    graph = bert_graph(head, **sizes)
    inputs = packed_inputs([1, 4, 33], vocab_size=sizes.get("vocab_size", 300))
    assert_same_results(graph, fuse(graph), inputs, ROUNDING)


def test_fused_nodes_carry_the_names_of_the_checkpoint() -> None:
    fused = fuse(bert_graph())
    assert [node.name for node in fused.nodes[:9]] == [
        "embeddings",
        "embeddings.LayerNorm",
        "encoder.layer.0.attention.self.qkv",
        "encoder.layer.0.attention.self",
        "encoder.layer.0.attention.output.dense",
        "encoder.layer.0.attention.output.LayerNorm",
        "encoder.layer.0.intermediate.dense",
        "encoder.layer.0.output.dense",
        "encoder.layer.0.output.LayerNorm",
    ]
    named = {value for node in bert_graph().nodes for value in node.outputs}
    assert {value for node in fused.nodes for value in node.outputs} <= {
        *named,
        fused.nodes[2].name,
        *(f"encoder.layer.{i}.attention.self.qkv" for i in range(9)),
    }


def test_an_op_that_nothing_can_run_is_reported_by_node() -> None:
    """The host computes on whole sequences, not on tokens that callers select."""
    graph = small_graph()
    some = Node("some", "select_rows", {"x": "x", "selected": SELECTED}, ("some",))
    graph = dataclasses.replace(
        graph,
        inputs=(*graph.inputs, Port(SELECTED, "i32", SELECTED)),
        nodes=(graph.nodes[0], some, node("relu", "y", "some")),
        outputs={"y": "y"},
    )
    with pytest.raises(GraphError, match=r"node 'y' \(relu\): the op belongs to stage imported"):
        fuse(graph)


def test_a_pass_that_breaks_the_graph_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def drop_first_node(graph: Graph) -> Graph:
        return graph.with_nodes(graph.nodes[1:])

    monkeypatch.setattr(bertc.passes, "PASSES", (drop_first_node,))
    with pytest.raises(GraphError, match="after pass drop_first_node: node 'dense'"):
        fuse(small_graph())


def test_passes_leave_their_input_alone() -> None:
    graph = bert_graph()
    before = (graph.nodes, dict(graph.constants), dict(graph.outputs))
    fuse(graph)
    assert (graph.nodes, dict(graph.constants), dict(graph.outputs)) == before


def test_an_activation_on_the_result_of_a_sum_runs_on_the_host() -> None:
    graph = bert_graph("token_classification", num_hidden_layers=1)
    sum_name = "encoder.layer.0.output.add"
    extra = node("relu", "extra", sum_name)
    nodes = [
        each
        for original in graph.nodes
        for each in ((original, extra) if original.name == sum_name else (original,))
    ]
    graph = graph.with_nodes(nodes, outputs={**graph.outputs, "extra": "extra"})
    fused = fuse(graph)
    (region,) = find_host_steps(fused.nodes).values()
    assert region.sources == ("'extra' (relu)",)
    assert_same_results(graph, fused, packed_inputs([1, 4, 33]), ROUNDING)
