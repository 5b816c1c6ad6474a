"""Nodes and constants that no output needs are dropped."""

from __future__ import annotations

from bertc.ir.graph import Graph


def eliminate_dead_nodes(graph: Graph) -> Graph:
    """Keep what the graph's outputs reach, walking backwards."""
    needed = set(graph.outputs.values())
    kept = []
    for node in reversed(graph.nodes):
        if needed.intersection(node.outputs):
            kept.append(node)
            needed.update(node.inputs.values())
    constants = {name: value for name, value in graph.constants.items() if name in needed}
    return graph.with_nodes(reversed(kept), constants=constants)
