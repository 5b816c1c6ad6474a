"""The reference target: executes any graph, of any stage, with the op table's NumPy functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bertc.errors import InputError
from bertc.ir.graph import DType, Graph, Node, TensorType
from bertc.ir.ops import OPS
from bertc.ir.verifier import input_types
from bertc.primitives.region import RegionError

Array = np.ndarray[Any, Any]


def run(graph: Graph, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Return the graph's outputs by public name, for packed ``inputs`` by the names of the graph's ports.

    ``cu_seqlens``, int32 [sequences + 1], is always among them; more than the graph reads may be there.
    Raises ``InputError`` if an input is absent that some op needs, or has the wrong dtype or rank.
    """
    types = input_types(graph)
    missing = [name for name in types if name not in inputs and _is_needed(graph, name)]
    if missing:
        raise InputError(f"graph input {missing[0]!r} is missing: pass {', '.join(types)}")
    values = {name: _check(name, inputs[name], kind) for name, kind in types.items() if name in inputs}
    last_use = _last_use(graph)
    for index, node in enumerate(graph.nodes):
        read = {name for name in node.inputs.values() if name in graph.constants}
        values.update((name, graph.constants[name].array) for name in read)
        values.update(zip(node.outputs, _execute(node, values), strict=True))
        for name in (*node.inputs.values(), *node.outputs):
            # A whole model's weights and activations at once would be gigabytes.
            if last_use.get(name, -1) <= index:
                values.pop(name, None)
    return {public: values[value] for public, value in graph.outputs.items()}


def _is_needed(graph: Graph, name: str) -> bool:
    """Return whether an op that reads an input has nothing to take instead of it."""
    readers = [(node, operand) for node in graph.nodes for operand in OPS[node.op].operands]
    return any(node[operand.name] == name and not operand.has_default for node, operand in readers)


def _check(name: str, given: Array, expected: TensorType) -> Array:
    array = np.asarray(given)
    kinds = "f" if expected.dtype == DType.F32 else "iu"
    if array.dtype.kind not in kinds or array.ndim != len(expected.shape):
        raise InputError(f"graph input {name!r} is {array.dtype} of rank {array.ndim}, expected {expected}")
    return array


def _last_use(graph: Graph) -> dict[str, int]:
    uses = {name: i for i, node in enumerate(graph.nodes) for name in node.inputs.values()}
    return uses | dict.fromkeys(graph.outputs.values(), len(graph.nodes))


def _execute(node: Node, values: Mapping[str, Array]) -> tuple[Array, ...]:
    operands = {operand: values[name] for operand, name in node.inputs.items() if name in values}
    op = OPS[node.op]
    try:
        result = op.reference(**operands, **op.complete(node.attributes))
    except RegionError as error:
        raise InputError(f"node {node.name!r} cannot run on the host: {error}") from None
    return result if isinstance(result, tuple) else (result,)
