from __future__ import annotations

import numpy as np
import pytest

from bertc.ir.interpreter import run
from bertc.ir.ops import ACTIVATIONS
from bertc.ir.verifier import verify
from bertc.passes.move_to_host import move_to_host
from bertc.ports import HOST
from tests.support.tiny_graphs import bert_graph, node
from tests.support.tiny_models import packed_inputs

HIDDEN = "embeddings.LayerNorm"


@pytest.mark.parametrize("kind", [each for each in ACTIVATIONS if each != "none"])
@pytest.mark.parametrize("of_sequences", [False, True])
def test_an_activation_computes_what_its_op_does(kind: str, of_sequences: bool) -> None:
    graph = bert_graph()
    value = next(each for each in graph.nodes if each.op == "pool").outputs[0] if of_sequences else HIDDEN
    nodes = (*graph.nodes, node(kind, "y", value))
    graph = graph.with_nodes(nodes, outputs={"y": "y"})
    moved = move_to_host(graph)
    assert next(each for each in moved.nodes if each.name == "y").op == HOST
    verify(moved)
    inputs = packed_inputs([1, 4, 33])
    expected, found = (run(each, inputs)["y"] for each in (graph, moved))
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=2e-6)


def test_a_sum_of_rows() -> None:
    graph = bert_graph()
    nodes = (*graph.nodes, node("add", "y", HIDDEN, "encoder.layer.0.output.LayerNorm"))
    graph = graph.with_nodes(nodes, outputs={"y": "y"})
    moved = move_to_host(graph)
    assert all(each.op != "add" for each in moved.nodes)
    inputs = packed_inputs([1, 4, 33])
    np.testing.assert_allclose(run(moved, inputs)["y"], run(graph, inputs)["y"], rtol=2e-6, atol=2e-6)


def test_a_graph_without_them_stays_as_it_is() -> None:
    graph = bert_graph()
    plain = graph.with_nodes(
        [each for each in graph.nodes[:1] if each.op == "embed"], outputs={"y": graph.nodes[0].outputs[0]}
    )
    assert move_to_host(plain) is plain
