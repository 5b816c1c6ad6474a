"""Constants are folded, shape arithmetic is evaluated on symbols, and what no output needs is dropped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bertc.errors import CheckpointError
from bertc.foreign.graph import SMALL, Constant, ForeignGraph, ForeignNode, Tensor, array_of
from bertc.foreign.interpreter import needed_nodes
from bertc.primitives import PRIMITIVES, Operand, ShapeError
from bertc.primitives.dim import Dim, Shape, UnknownSizeError, of_sizes, plain, product
from bertc.primitives.elementwise import BINARY, UNARY
from bertc.primitives.primitive import spell

Array = np.ndarray[Any, Any]

MAX_ELEMENTS = 2**31
"""No model has a constant or an activation of so many elements: a graph that asks for one is wrong."""
ELEMENTWISE = UNARY | BINARY | {"cast", "where"}
MOVEMENTS = frozenset({"reshape", "transpose", "unsqueeze", "squeeze", "slice", "gather"})
"""Primitives whose results on weights are computed where they are needed, and not before."""
_UNFIT = (UnknownSizeError, TypeError, AttributeError, ValueError, IndexError, ZeroDivisionError)
"""What functions of NumPy raise for symbols they cannot work on."""


def simplify(graph: ForeignGraph) -> ForeignGraph:
    """Return a graph whose values all depend on its inputs' elements, with the shapes of all of them.

    Raises ``CheckpointError`` that names the node whose operands do not fit together.
    """
    constants = dict(graph.constants)
    shapes: dict[str, Shape] = {name: constant.shape for name, constant in constants.items()}
    shapes.update(graph.inputs)
    kept = []
    for node in needed_nodes(graph.nodes, [*graph.outputs.values()]):
        shape = shape_of(node, shapes, constants)
        shapes[node.output] = shape
        folded = fold(node, shapes, constants)
        if folded is None:
            kept.append(node)
        else:
            constants[node.output] = folded
    used = {name for node in kept for name in node.inputs} | {*graph.outputs.values()}
    return graph.with_nodes(
        tuple(kept),
        constants={name: constant for name, constant in constants.items() if name in used},
        shapes=shapes,
    )


def shape_of(node: ForeignNode, shapes: Mapping[str, Shape], constants: Mapping[str, Constant]) -> Shape:
    """Return the shape of a node's result. Raises ``CheckpointError`` that names the node."""
    operands = [Operand(shapes[name], constants.get(name)) for name in node.inputs if name]
    try:
        arity = PRIMITIVES[node.op].arity
        if len(operands) != (len(operands) or 1 if arity is None else arity):
            raise ShapeError(f"it takes {arity or 'some'}")
        shape = PRIMITIVES[node.op].rule(operands, node.attributes)
    except (ShapeError, *_UNFIT) as error:
        found = ", ".join(spell(operand.shape) for operand in operands)
        raise CheckpointError(f"node {node}: its inputs {found} do not fit it ({error})") from None
    numbers = [size for size in shape if not isinstance(size, Dim)]
    if any(not isinstance(size, int) or size < 0 for size in numbers) or product(numbers) > MAX_ELEMENTS:
        raise CheckpointError(f"node {node}: its result would be {spell(shape)}, which cannot be")
    return shape


def fold(
    node: ForeignNode, shapes: Mapping[str, Shape], constants: Mapping[str, Constant]
) -> Constant | None:
    """Return the value of a node that depends on constants and shapes alone, if it can be computed now."""
    if node.op == "shape":
        start, end = node.attributes["start"], node.attributes["end"]
        return of_sizes(shapes[node.inputs[0]][start:end])
    operands = [constants.get(name) for name in node.inputs if name]
    known = [each for each in operands if each is not None]
    if len(known) < len(operands) or any(isinstance(size, Dim) for size in shapes[node.output]):
        return None

    def compute() -> Array:
        return np.asarray(PRIMITIVES[node.op].compute(*map(array_of, known), **node.attributes))

    large = any(isinstance(each, Tensor) for each in known)
    if large and (node.op in MOVEMENTS or node.op in ELEMENTWISE):
        return Tensor(shapes[node.output], _dtype(node, known), compute)
    try:
        result = plain(compute())
    except _UNFIT as error:
        if any(isinstance(each, np.ndarray) and each.dtype == object for each in known):
            return None
        raise CheckpointError(f"node {node} cannot be executed: {error}") from None
    if result.size <= SMALL or result.dtype == object:
        return result
    return Tensor(result.shape, result.dtype, compute)


def _dtype(node: ForeignNode, operands: Sequence[Constant]) -> np.dtype[Any]:
    """Return the dtype of a result, found without its elements."""
    if node.op in MOVEMENTS:
        return operands[0].dtype
    small = [np.ones((1,) * len(each.shape), each.dtype) for each in operands]
    return np.asarray(PRIMITIVES[node.op].compute(*small, **node.attributes)).dtype
