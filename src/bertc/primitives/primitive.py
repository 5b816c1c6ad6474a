"""What a row of the table of primitives says."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np

from bertc.primitives.dim import Shape

Array = np.ndarray[Any, Any]


class ShapeError(Exception):
    """Raised by a shape rule for operands that do not fit together, or sizes that only a run could tell."""


class Stored(Protocol):
    """A constant that is read where it is needed."""

    def array(self) -> Array:
        """Return the elements."""


@dataclass(frozen=True, eq=False)
class Operand:
    """What a shape rule knows of an operand: its shape, and its value if it is a constant."""

    shape: Shape
    value: Array | Stored | None = None

    def numbers(self) -> list[Any]:
        """Return the elements of a small constant: numbers, or symbolic sizes."""
        if self.value is None:
            raise ShapeError("the sizes that it is given depend on the input's values")
        array = self.value if isinstance(self.value, np.ndarray) else self.value.array()
        return [*array.ravel().tolist()]


Rule = Callable[[Sequence[Operand], Mapping[str, Any]], Shape]

INTEGER, INTEGERS, AXES, FLAG, NUMBER, DTYPE = (
    "a whole number",
    "whole numbers",
    "whole numbers or nothing",
    "true or false",
    "a number",
    "a dtype",
)
"""The kinds of attributes."""


@dataclass(frozen=True)
class Primitive:
    """One row."""

    name: str
    compute: Callable[..., Array]
    """Takes the operands in order, and the attributes by name."""
    rule: Rule
    """From operands and attributes to the shape of the result."""
    attributes: Mapping[str, str] | None = field(default_factory=lambda: MappingProxyType({}))
    """The kind of each attribute by its name; None for a primitive that no region has (``region.py``)."""

    @cached_property
    def arity(self) -> int | None:
        """The number of operands; None for any."""
        kinds = [each.kind for each in inspect.signature(self.compute).parameters.values()]
        if inspect.Parameter.VAR_POSITIONAL in kinds:
            return None
        return kinds.count(inspect.Parameter.POSITIONAL_OR_KEYWORD)


def broadcast(*shapes: Shape) -> Shape:
    """Return the shape that NumPy's rules make of several. Raises ``ShapeError``."""
    rank = max(map(len, shapes))
    result: list[Any] = []
    for axis in range(rank):
        sizes = [shape[axis - rank + len(shape)] for shape in shapes if axis - rank + len(shape) >= 0]
        wide = {size for size in sizes if not (isinstance(size, int) and size == 1)}
        if len(wide) > 1:
            raise ShapeError(f"shapes {' and '.join(map(spell, shapes))} do not fit together")
        result.append(wide.pop() if wide else 1)
    return tuple(result)


def spell(shape: Shape) -> str:
    """Return a shape for people."""
    return f"[{', '.join(map(str, shape))}]"


def same(operands: Sequence[Operand], _: Mapping[str, Any]) -> Shape:
    """Return the shape of the first operand."""
    return operands[0].shape


def broadcast_all(operands: Sequence[Operand], _: Mapping[str, Any]) -> Shape:
    """Return the shape that all operands are broadcast to."""
    return broadcast(*(operand.shape for operand in operands))


def axis_of(axis: int, rank: int) -> int:
    """Return an axis counted from the front. Raises ``ShapeError`` if there is none such."""
    if not -rank <= axis < rank:
        raise ShapeError(f"axis {axis} of a value of rank {rank}")
    return axis % rank
