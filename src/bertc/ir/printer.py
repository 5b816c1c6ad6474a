"""A graph as text, one line per value: for people, for ``diff``, for tests."""

from __future__ import annotations

from collections.abc import Mapping

from bertc.errors import GraphError
from bertc.ir.graph import Graph, Node, TensorType
from bertc.ir.verifier import verify


def to_text(graph: Graph) -> str:
    """Return the graph's inputs, constants, nodes and outputs as lines, each with its type.

    A graph that does not verify is printed too, without types of node outputs and with the
    verifier's complaint on top: that is when one wants to see it.
    """
    lines = [f"graph {graph.stage}"]
    try:
        types: Mapping[str, TensorType] = verify(graph)
    except GraphError as error:
        types = {}
        lines.append(f"  # invalid: {error}")
    lines += [f"  input {port.name}: {TensorType.of_port(port)}" for port in graph.inputs]
    lines += [f"  constant {name}: {constant.type}" for name, constant in graph.constants.items()]
    lines += [f"  {_node(node, types)}" for node in graph.nodes]
    lines += [f"  output {public} = {value}" for public, value in graph.outputs.items()]
    return "\n".join(lines) + "\n"


def _node(node: Node, types: Mapping[str, TensorType]) -> str:
    results = ", ".join(f"{name}: {types[name]}" if name in types else name for name in node.outputs)
    operands = ", ".join(f"{operand}={value}" for operand, value in node.inputs.items())
    attributes = "".join(f" {name}={value!r}" for name, value in sorted(node.attributes.items()))
    label = "" if node.outputs[:1] == (node.name,) else f"  # {node.name}"
    return f"{results} = {node.op}({operands}){attributes}{label}"
