from __future__ import annotations

import numpy as np
import pytest

from bertc.errors import InputError
from bertc.ir import interpreter
from bertc.ir.graph import Graph, Node
from bertc.ir.verifier import verify
from bertc.ports import TOKENS, Port
from tests.support.tiny_graphs import small_graph, small_inputs


def test_run_executes_nodes_in_order_and_names_outputs_publicly() -> None:
    graph, inputs = small_graph(), small_inputs()
    (name, result), *rest = interpreter.run(graph, inputs).items()
    table, weight, bias = (graph.constants[n].array for n in ("table", "dense.weight", "dense.bias"))
    assert (name, rest) == ("y", [])
    np.testing.assert_array_equal(result, table[inputs["input_ids"]] @ weight.T + bias)


def test_inputs_go_by_the_names_of_the_ports_and_may_be_floats() -> None:
    graph = small_graph()
    rows = np.random.default_rng(0).standard_normal((4, 8)).astype(np.float32)
    dense = graph.nodes[1].with_inputs(x="inputs_embeds")
    constants = {name: graph.constants[name] for name in ("dense.weight", "dense.bias")}
    graph = Graph((Port("inputs_embeds", "f32", TOKENS, 8),), constants, (dense,), {"y": "dense"})
    verify(graph)
    inputs = {"inputs_embeds": rows, "cu_seqlens": np.array([0, 4], np.int32), "unread": rows}
    weight, bias = (graph.constants[f"dense.{name}"].array for name in ("weight", "bias"))
    np.testing.assert_array_equal(interpreter.run(graph, inputs)["y"], rows @ weight.T + bias)
    with pytest.raises(InputError, match=r"'inputs_embeds' is int32 of rank 1, expected f32\[tokens, 8\]"):
        interpreter.run(graph, {**inputs, "inputs_embeds": np.zeros(4, np.int32)})


def test_an_output_that_is_also_an_intermediate_value_is_kept() -> None:
    graph = small_graph()
    both = graph.with_nodes(graph.nodes, outputs={"x": "x", "y": "dense"})
    assert set(interpreter.run(both, small_inputs())) == {"x", "y"}


def test_an_op_with_several_outputs_binds_each() -> None:
    graph = small_graph()
    names = ("q", "scale", "zero_point")
    quantize = Node("quantize", "quantize_rows", {"x": "dense"}, names)
    typed = graph.with_nodes((*graph.nodes, quantize), outputs={n: n for n in names})
    result = interpreter.run(typed, small_inputs())
    assert [result[n].dtype for n in names] == [np.uint8, np.float32, np.int32]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input_ids": None}, "'input_ids' is missing"),
        ({"input_ids": np.zeros(4, np.float32)}, "'input_ids' is float32 of rank 1, expected i32"),
        ({"cu_seqlens": np.zeros((1, 2), np.int32)}, "'cu_seqlens' is int32 of rank 2"),
    ],
)
def test_wrong_inputs_are_refused_by_name(change: dict[str, np.ndarray | None], message: str) -> None:
    inputs = {k: v for k, v in {**small_inputs(), **change}.items() if v is not None}
    with pytest.raises(InputError, match=message):
        interpreter.run(small_graph(), inputs)
