"""Layers that share their weights, as ALBERT's do, share them again: exporters write each use apart."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator

from bertc.ir.graph import Graph


def share_weights(graph: Graph) -> Graph:
    """Return the graph with one constant for matrices of linear layers that are equal."""
    names = dict(_equal_weights(graph))
    nodes = [node.with_inputs(weight=names.get(node["weight"], node["weight"])) for node in graph.nodes]
    constants = {name: each for name, each in graph.constants.items() if name not in names}
    return graph.with_nodes(nodes, constants=constants)


def _equal_weights(graph: Graph) -> Iterator[tuple[str, str]]:
    """Yield the names of weights that an earlier one equals, each with that one's name."""
    weights = [node["weight"] for node in graph.nodes if node.op == "linear"]
    shapes = Counter(graph.constants[name].source.shape for name in weights)
    first: dict[bytes, str] = {}
    for name in weights:
        constant = graph.constants[name]
        if shapes[constant.source.shape] > 1:
            earlier = first.setdefault(hashlib.sha256(constant.array.tobytes()).digest(), name)
            if earlier != name:
                yield name, earlier
