"""What a row of the op table says: the dataclasses of ``ops.py``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from bertc.ir.graph import Attribute, TensorType

Types = Mapping[str, TensorType]
"""The type of each operand's value, by operand; absent operands are not in it."""
Rule = Callable[[Types, Mapping[str, Attribute]], tuple[TensorType, ...]]
"""From operand types and attributes to output types. Raises ``GraphError`` if they do not fit the op."""
Work = Callable[[Types, Mapping[str, Attribute], float], float]
"""From operand types, attributes and tokens per sequence to the operations for a row of the first output."""
Packing = Literal["vector", "table", "weight", "distances", "angles"]
"""A layout of constants (``lowering/pack.py``)."""


@dataclass(frozen=True)
class Operand:
    """An input of an op: what nodes, programs and native kernels know it by."""

    name: str
    packing: Packing | None = None
    """How kernels read it, if it must be a constant; None for an activation or an input of the graph."""
    optional: bool = False
    imported_only: bool = False
    """Whether only front ends write it: a pass must put another operand in its place."""
    has_default: bool = False
    """Whether callers may leave out the input of the graph that it reads: the op takes something instead."""


@dataclass(frozen=True)
class Op:
    """One row of the table."""

    name: str
    stages: frozenset[str]
    """Where the op is legal. In stage "typed" it has a kernel."""
    operands: tuple[Operand, ...]
    rule: Rule
    reference: Callable[..., Any]
    """The NumPy twin, which takes operands and attributes by name; see ``reference.py``."""
    attributes: Mapping[str, type | tuple[str, ...]] = field(default_factory=dict)
    """The type of each attribute, or the strings that it may be."""
    defaults: Mapping[str, Attribute] = field(default_factory=dict)
    """The values of attributes that a node, or a step of a program, need not say. All others must be said."""
    features: tuple[str, ...] = ()
    """Those of its operands and attributes, or the op itself, that the file format gained after its version
    was set: a program that uses one lists it, and ``artifact.schema.FEATURES`` says that readers know it."""
    outputs: tuple[str, ...] = ("y",)
    in_place: str = ""
    """The operand whose memory the first output may take over: the kernel reads each element before it
    writes that element."""
    work: Work | None = None
    """The cost of an op that multiplies matrices."""
    forms: Mapping[str, str] = field(default_factory=dict)
    """The op that computes the same in another precision, by its form (``bertc.precision``); a recipe chooses
    the precision of ops that have some."""
    compared: bool = False
    """Whether a certificate says how close the first output is to the model in fp32."""

    def takes(self, operand: str) -> bool:
        """Return whether the op has an operand of that name."""
        return any(each.name == operand for each in self.operands)

    def stores(self, dtype: str) -> bool:
        """Return whether the attribute ``out_dtype`` can be that."""
        allowed = self.attributes.get("out_dtype")
        return isinstance(allowed, tuple) and dtype in allowed

    def complete(self, attributes: Mapping[str, Attribute]) -> dict[str, Attribute]:
        """Return the attributes of a node and the defaults of those that it does not say."""
        return {**self.defaults, **attributes}
