"""Two nodes that compute the same become one: pooler and cls pooling read the same first token."""

from __future__ import annotations

from bertc.ir.graph import Graph
from bertc.passes.rewrite import rewrite


def merge_identical_nodes(graph: Graph) -> Graph:
    """Keep the first of nodes with equal op, inputs and attributes."""
    first: dict[object, tuple[str, ...]] = {}
    renamed: dict[str, str] = {}
    dropped = []
    for node in graph.nodes:
        inputs = {operand: renamed.get(value, value) for operand, value in node.inputs.items()}
        key = (node.op, frozenset(inputs.items()), frozenset(node.attributes.items()))
        if key in first:
            renamed.update(zip(node.outputs, first[key], strict=True))
            dropped.append(node.name)
        else:
            first[key] = node.outputs
    return rewrite(graph, dict.fromkeys(dropped, ()), renamed=renamed)
