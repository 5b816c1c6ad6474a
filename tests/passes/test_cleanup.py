"""``merge_identical_nodes`` and ``eliminate_dead_nodes``."""

from __future__ import annotations

from bertc.passes.eliminate_dead_nodes import eliminate_dead_nodes
from bertc.passes.merge_identical_nodes import merge_identical_nodes
from tests.support.tiny_graphs import assert_same_results, bert_graph, node, small_graph, small_inputs
from tests.support.tiny_models import packed_inputs


def test_pooler_and_cls_pooling_share_the_first_token() -> None:
    graph = bert_graph(pooling="cls", num_hidden_layers=1)
    merged = merge_identical_nodes(graph)
    assert [n.op for n in merged.nodes].count("pool") == 1
    assert merged.outputs["sentence_embedding"] == "pooler.first_token"
    assert_same_results(graph, merged, packed_inputs([1, 4]), atol=0)


def test_nodes_behind_merged_nodes_merge_too() -> None:
    graph = small_graph()
    nodes = [
        node("tanh", name, source)
        for name, source in [("a", "dense"), ("b", "dense"), ("c", "a"), ("d", "b")]
    ]
    graph = graph.with_nodes((*graph.nodes, *nodes), outputs={"c": "c", "d": "d"})
    merged = merge_identical_nodes(graph)
    assert [n.name for n in merged.nodes] == ["x", "dense", "a", "c"]
    assert_same_results(graph, merged, small_inputs(), atol=0)


def test_nodes_that_differ_in_an_attribute_are_kept() -> None:
    graph = bert_graph(pooling="mean", num_hidden_layers=1)
    assert merge_identical_nodes(graph).nodes == graph.nodes


def test_dead_nodes_and_constants_are_dropped() -> None:
    graph = small_graph()
    dead = (node("tanh", "dead", "dense"), node("tanh", "dead too", "dead"))
    constants = {**graph.constants, "unused": graph.constants["table"]}
    cleaned = eliminate_dead_nodes(graph.with_nodes((*graph.nodes, *dead), constants=constants))
    assert cleaned.nodes == graph.nodes
    assert list(cleaned.constants) == list(graph.constants)
