from __future__ import annotations

import numpy as np
import pytest

from bertc.ir.graph import Graph
from bertc.passes.fuse_gates import fuse_gates
from bertc.passes.fuse_linear_activation import fuse_linear_activation
from tests.support.tiny_graphs import (
    IDS,
    assert_same_results,
    constant,
    embed,
    linear_constants,
    node,
    small_inputs,
)


def _graph(*, swapped: bool = False, activations: tuple[str, ...] = ("gelu",), source: str = "x") -> Graph:
    """A gate on a value, with an activation on the first, or on both, or on none."""
    constants = {"table": constant(10, 8)}
    for seed, name in enumerate(("ffn.gate", "ffn.value")):
        constants |= linear_constants(name, 5, 8, seed=seed)
    nodes = [embed("x", word="table"), node("relu", "other", "x")]
    nodes += [node("linear", "ffn.gate", "x"), node("linear", "ffn.value", source)]
    values = ["ffn.gate", "ffn.value"]
    for index, activation in enumerate(activations):
        nodes.append(node(activation, f"activated{index}", values[index]))
        values[index] = f"activated{index}"
    nodes.append(node("multiply", "ffn.multiply", *(reversed(values) if swapped else values)))
    return Graph(IDS[:1], constants, tuple(nodes), {"y": "ffn.multiply"})


@pytest.mark.parametrize("swapped", [False, True])
def test_gate_and_value_become_one_layer(swapped: bool) -> None:
    graph = _graph(swapped=swapped)
    after = fuse_gates(fuse_linear_activation(graph))
    (gated,) = (each for each in after.nodes if each.op == "linear")
    assert (gated.name, gated.outputs) == ("ffn.gated", ("ffn.multiply",))
    assert (gated.attributes["gated"], gated.attributes["activation"]) == (1, "gelu")
    np.testing.assert_array_equal(
        after.constants["ffn.gated.weight"].array,
        np.concatenate([graph.constants[f"ffn.{part}.weight"].array for part in ("gate", "value")]),
    )
    assert_same_results(graph, after, small_inputs(), atol=1e-6)


def test_a_product_without_an_activation_is_gated_too() -> None:
    graph = _graph(activations=())
    after = fuse_gates(graph)
    assert [each.op for each in after.nodes if each.op in ("linear", "multiply")] == ["linear"]
    assert_same_results(graph, after, small_inputs(), atol=1e-6)


@pytest.mark.parametrize(("activations", "source"), [(("gelu", "tanh"), "x"), (("gelu",), "other")])
def test_other_products_are_left(activations: tuple[str, ...], source: str) -> None:
    """Both are activated, or they are layers of two values."""
    graph = fuse_linear_activation(_graph(activations=activations, source=source))
    assert fuse_gates(graph).nodes == graph.nodes
