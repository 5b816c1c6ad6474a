"""The graph: an immutable, typed dataflow of nodes, with symbolic token and sequence counts.

A graph is in single-assignment form: each value has a name and one producer (a graph input, a
constant, or one output of one node), and nodes are listed in execution order. What an op means,
and which shapes it takes, is in ``ops.py``; whether a graph is well formed, in ``verifier.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from types import MappingProxyType
from typing import Any, Literal, Protocol

import numpy as np

from bertc.ports import Port

Array = np.ndarray[Any, Any]
Attribute = int | float | str | bool
Dimension = int | str
"""A size: a number, or a symbol: one of those that a port's rows may be, or the one below."""
SEQUENCES_PLUS_ONE = "sequences+1"

Stage = Literal["imported", "fused", "typed"]
"""How far a graph has come: from a front end, after fusion, after dtypes were chosen."""


class DType(str, Enum):
    """Element types, by the names that safetensors uses (lower case)."""

    F32 = "f32"
    F16 = "f16"
    BF16 = "bf16"
    I8 = "i8"
    U8 = "u8"
    I32 = "i32"

    @property
    def itemsize(self) -> int:
        """The bytes of one element."""
        return {"f32": 4, "i32": 4, "f16": 2, "bf16": 2, "i8": 1, "u8": 1}[self.value]


@dataclass(frozen=True)
class TensorType:
    """The type of a value: element type and shape."""

    dtype: DType
    shape: tuple[Dimension, ...]

    @classmethod
    def of_port(cls, port: Port) -> TensorType:
        """Return the type of what goes through a port."""
        return cls(DType(port.dtype), (port.rows, port.columns) if port.columns else (port.rows,))

    def __str__(self) -> str:
        return f"{self.dtype.value}[{', '.join(str(size) for size in self.shape)}]"


class StoredTensor(Protocol):
    """A tensor that is read or made where it is needed, and that nobody holds in memory: a checkpoint's."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The size of each dimension."""

    def read(self) -> Array:
        """Return the elements in float32, read anew."""


@dataclass(frozen=True, eq=False)
class Constant:
    """A tensor that the graph owns: an array, or one that is read where it is needed.

    ``array`` holds bf16 as float32 numbers that are representable in bf16, since NumPy has no
    bf16; every other dtype is NumPy's own.
    """

    dtype: DType
    source: Array | StoredTensor

    @property
    def array(self) -> Array:
        """The elements. Those of a stored tensor are read each time, so that weights take no memory twice."""
        return self.source if isinstance(self.source, np.ndarray) else self.source.read()

    @property
    def type(self) -> TensorType:
        """The tensor type of the array."""
        return TensorType(self.dtype, tuple(self.source.shape))


@dataclass(frozen=True)
class Node:
    """One operation.

    ``name`` follows the checkpoint's module names (``encoder.layer.0.attention.self.query``), so
    that recipes and reports can speak of it.
    """

    name: str
    op: str
    inputs: Mapping[str, str]
    """The value of each operand, as the op table names it. An absent operand is not in it."""
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute] = field(default_factory=lambda: MappingProxyType({}))

    __iter__ = None  # else Python would iterate by asking for the operands 0, 1, ... without end

    def __getitem__(self, operand: str) -> str:
        """Return the value of an operand; "" if the operand is absent."""
        return self.inputs.get(operand, "")

    def with_inputs(self, **changes: str) -> Node:
        """Return the node with some operands changed; "" takes an operand away."""
        inputs = {operand: value for operand, value in {**self.inputs, **changes}.items() if value}
        return replace(self, inputs=MappingProxyType(inputs))

    def with_attributes(self, **changes: Attribute) -> Node:
        """Return the node with some attributes changed."""
        return replace(self, attributes=MappingProxyType({**self.attributes, **changes}))


@dataclass(frozen=True, eq=False)
class Graph:
    """A model: typed inputs, constants, nodes in execution order, and named outputs."""

    inputs: tuple[Port, ...]
    """What the graph reads besides ``cu_seqlens``, int32 [sequences + 1], which every graph may read."""
    constants: Mapping[str, Constant]
    nodes: tuple[Node, ...]
    outputs: Mapping[str, str]
    """The value of each output, by its public name (``last_hidden_state``, ``logits``, ...)."""
    stage: Stage = "imported"

    def with_nodes(self, nodes: Iterable[Node], **changes: Any) -> Graph:
        """Return a copy with other nodes, and other ``constants``, ``outputs`` or ``stage`` where given."""
        return replace(self, nodes=tuple(nodes), **changes)

    def producers(self) -> dict[str, Node]:
        """Return the node that produces each value, by the value's name."""
        return {value: node for node in self.nodes for value in node.outputs}

    def consumers(self) -> dict[str, list[Node]]:
        """Return the nodes that read each value, in order, by its name; graph outputs are no nodes."""
        table: dict[str, list[Node]] = {}
        for node in self.nodes:
            for value in node.inputs.values():
                table.setdefault(value, []).append(node)
        return table
