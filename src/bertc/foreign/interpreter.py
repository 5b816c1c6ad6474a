"""Executes a foreign graph with NumPy: what its primitives mean, and the judge of what it is raised to."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from bertc.errors import CheckpointError
from bertc.foreign.graph import ForeignGraph, ForeignNode, array_of
from bertc.primitives import PRIMITIVES
from bertc.primitives.dim import Dim, at

Array = np.ndarray[Any, Any]


def run(graph: ForeignGraph, inputs: Mapping[str, Array], wanted: Collection[str]) -> dict[str, Array]:
    """Return values by name, for padded ``inputs`` [batch, length] by role; only what they need is computed.

    Raises ``CheckpointError`` that names the node that cannot be executed.
    """
    nodes = needed_nodes(graph.nodes, wanted)
    values: dict[str, Array] = dict(inputs)
    sizes = _sizes(graph, inputs)
    last_use = {name: index for index, node in enumerate(nodes) for name in node.inputs}
    for index, node in enumerate(nodes):
        for name in node.inputs:
            if name not in values and name in graph.constants:
                values[name] = at(array_of(graph.constants[name]), sizes)
        values[node.output] = _execute(node, [values[name] for name in node.inputs if name])
        for name in {*node.inputs}:
            if last_use[name] <= index and name not in wanted and name not in inputs:
                values.pop(name, None)
    return {
        name: values[name] if name in values else at(array_of(graph.constants[name]), sizes)
        for name in wanted
    }


def needed_nodes(nodes: Iterable[ForeignNode], wanted: Collection[str]) -> list[ForeignNode]:
    """Return the nodes that some values need, in order."""
    needed = {*wanted}
    kept = []
    for node in reversed([*nodes]):
        if node.output in needed:
            kept.append(node)
            needed.update(node.inputs)
    return kept[::-1]


def _sizes(graph: ForeignGraph, inputs: Mapping[str, Array]) -> dict[str, int]:
    batch, length = next(iter(inputs.values())).shape[:2]
    return {str(symbol): size for symbol, size in _pairs(graph, batch, length)}


def _pairs(graph: ForeignGraph, batch: int, length: int) -> Iterator[tuple[Any, int]]:
    for symbol, size in ((graph.batch, batch), (graph.length, length)):
        if isinstance(symbol, Dim):
            yield symbol, size


def _execute(node: ForeignNode, operands: list[Array]) -> Array:
    try:
        return PRIMITIVES[node.op].compute(*operands, **node.attributes)
    except Exception as error:
        shapes = ", ".join(f"{each.dtype}{list(each.shape)}" for each in operands)
        raise CheckpointError(f"node {node} cannot be executed on {shapes}: {error}") from None
