"""What passes share: replacing nodes of an immutable graph, and asking who uses a value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import takewhile

from bertc.ir.graph import Constant, Graph, Node


def rewrite(
    graph: Graph,
    replaced: Mapping[str, Sequence[Node]],
    *,
    renamed: Mapping[str, str] | None = None,
    constants: Mapping[str, Constant] | None = None,
) -> Graph:
    """Return a graph with nodes replaced by others (or by none), in place.

    ``replaced`` goes by node name; ``renamed`` maps values that lost their producer to those that
    stand for them; ``constants`` are added, or take the place of those of the same name.
    """
    names = renamed or {}
    nodes = [
        node.with_inputs(**{operand: names.get(value, value) for operand, value in node.inputs.items()})
        for original in graph.nodes
        for node in replaced.get(original.name, (original,))
    ]
    outputs = {public: names.get(value, value) for public, value in graph.outputs.items()}
    return graph.with_nodes(nodes, outputs=outputs, constants={**graph.constants, **(constants or {})})


def count_uses(graph: Graph) -> Counter[str]:
    """Count the node inputs and graph outputs that read each value, by its name."""
    inputs = (value for node in graph.nodes for value in node.inputs.values())
    return Counter((*inputs, *graph.outputs.values()))


def common_parent(names: Sequence[str]) -> str:
    """Return the module that has all these: ``a.b`` for ``a.b.query`` and ``a.b.key``; else ""."""
    levels = zip(*(name.split(".") for name in names), strict=False)
    return ".".join(level[0] for level in takewhile(lambda level: len(set(level)) == 1, levels))
