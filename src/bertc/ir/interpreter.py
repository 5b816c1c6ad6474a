"""The reference target: executes any graph, of any stage, with the op table's NumPy functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bertc.errors import InputError
from bertc.ir.graph import Graph, Node
from bertc.ir.ops import OPS

Array = np.ndarray[Any, Any]


def run(graph: Graph, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """The graph's outputs by public name, for packed ``inputs`` by graph input name.

    ``input_ids``, ``token_type_ids`` and ``position_ids`` are int32 [tokens], ``cu_seqlens`` int32
    [sequences + 1]. Raises ``InputError`` if a graph input is absent or has the wrong dtype or rank.
    """
    values = {name: _check_input(graph, name, inputs) for name in graph.inputs}
    values.update((name, constant.array) for name, constant in graph.constants.items())
    last_use = _last_use(graph)
    for index, node in enumerate(graph.nodes):
        values.update(zip(node.outputs, _execute(node, values), strict=True))
        for name in (*node.inputs.values(), *node.outputs):
            # A whole model's activations at once would be gigabytes for long batches.
            if last_use.get(name, -1) <= index and name not in graph.constants:
                values.pop(name, None)
    return {public: values[value] for public, value in graph.outputs.items()}


def _check_input(graph: Graph, name: str, inputs: Mapping[str, Array]) -> Array:
    if name not in inputs:
        raise InputError(f"graph input {name!r} is missing: pass {', '.join(graph.inputs)}")
    array, expected = np.asarray(inputs[name]), graph.inputs[name]
    if array.dtype.kind not in "iu" or array.ndim != len(expected.shape):
        raise InputError(f"graph input {name!r} is {array.dtype} of rank {array.ndim}, expected {expected}")
    return array


def _last_use(graph: Graph) -> dict[str, int]:
    uses = {name: i for i, node in enumerate(graph.nodes) for name in node.inputs.values()}
    return uses | dict.fromkeys(graph.outputs.values(), len(graph.nodes))


def _execute(node: Node, values: Mapping[str, Array]) -> tuple[Array, ...]:
    operands = {operand: values[name] for operand, name in node.inputs.items()}
    result = OPS[node.op].reference(**operands, **node.attributes)
    return result if isinstance(result, tuple) else (result,)
