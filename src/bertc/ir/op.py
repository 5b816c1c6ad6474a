"""What a row of the op table says: the dataclasses of ``ops.py``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from bertc.ir.graph import Attribute, TensorType

Types = Mapping[str, TensorType]
"""Operand -> the type of its value; absent operands are not in it."""
Rule = Callable[[Types, Mapping[str, Attribute]], tuple[TensorType, ...]]
"""Operand types and attributes -> output types. Raises ``GraphError`` if they do not fit the op."""
Packing = Literal["vector", "table", "weight"]
"""A layout of constants (``lowering/pack.py``)."""


@dataclass(frozen=True)
class Operand:
    """An input of an op: what nodes, programs and native kernels know it by."""

    name: str
    packing: Packing | None = None
    """How kernels read it, if it must be a constant; None for an activation or an input of the graph."""
    optional: bool = False


@dataclass(frozen=True)
class Op:
    """One row of the table."""

    name: str
    operands: tuple[Operand, ...]
    outputs: tuple[str, ...]
    stages: frozenset[str]
    rule: Rule
    reference: Callable[..., Any]
    """Takes operands and attributes by name; see ``reference.py``."""
    attributes: Mapping[str, type | tuple[str, ...]] = field(default_factory=dict)
    """Attribute name -> its type, or the strings it may be."""

    def bind(self, *values: str) -> dict[str, str]:
        """``Node.inputs`` for values in the order of the operands; "" stands for an absent one."""
        names = (operand.name for operand in self.operands)
        return {name: value for name, value in zip(names, values, strict=False) if value}
