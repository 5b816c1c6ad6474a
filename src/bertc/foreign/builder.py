"""Writes a foreign graph node by node: what the import tables of all doors call."""

from __future__ import annotations

import itertools
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bertc.foreign.graph import Constant, ForeignNode, Tensor, array_of


class ForeignBuilder:
    """Collects constants and nodes. Each method appends a primitive and returns the name of its value."""

    def __init__(self) -> None:
        self.constants: dict[str, Constant] = {}
        self.nodes: list[ForeignNode] = []
        self._numbers = itertools.count()
        self._name = self._source = ""

    def begin(self, name: str, source: str) -> None:
        """Say which node of the source the next primitives are of."""
        self._name, self._source = name, source

    def op(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Append any primitive."""
        output = f"{self._name}#{next(self._numbers)}"
        node = ForeignNode(self._name, op, inputs, output, MappingProxyType(attributes), self._source)
        self.nodes.append(node)
        return output

    def constant(self, value: ArrayLike | Tensor) -> str:
        """Append a constant: an array, a number (of a float, float32), or a tensor that is read later."""
        name = f"{self._name}#{next(self._numbers)}"
        if isinstance(value, float):
            value = np.float32(value)
        self.constants[name] = value if isinstance(value, Tensor) else np.asarray(value)
        return name

    def known(self, value: str) -> np.ndarray[Any, Any] | None:
        """Return the elements of a value if it is a constant, else None."""
        return array_of(self.constants[value]) if value in self.constants else None

    def cast(self, x: str, to: str) -> str:
        """Convert to a dtype of NumPy."""
        return self.op("cast", x, to=to)

    def reshape(self, x: str, *sizes: int) -> str:
        """Reshape to fixed sizes, of which 0 copies one and -1 takes what is left."""
        return self.op("reshape", x, self.constant(np.array(sizes, np.int64)))

    def transpose(self, x: str, *perm: int) -> str:
        """Order the axes anew."""
        return self.op("transpose", x, perm=perm)

    def part(self, x: str, axis: int, start: int, stop: int) -> str:
        """Take a range of an axis."""
        bounds = (self.constant(np.array([each], np.int64)) for each in (start, stop))
        return self.op("slice", x, *bounds, axes=(axis,), steps=(1,))

    def layer_norm(self, x: str, scale: str, bias: str, epsilon: float) -> str:
        """Normalize the last axis; without a ``bias`` ("") nothing is added."""
        bias = bias or self.constant(np.float32(0))
        return self.op("layer_norm", x, scale, bias, axis=-1, epsilon=epsilon)

    def gelu(self, x: str, *, approximate: bool) -> str:
        """Apply GELU, by the error function or by tanh (arXiv:1606.08415, sec. 2)."""
        one, half = self.constant(1.0), self.constant(0.5)
        if approximate:
            cubed = self.op("mul", self.op("pow", x, self.constant(3.0)), self.constant(0.044715))
            inner = self.op("mul", self.op("add", x, cubed), self.constant(0.7978845608028654))
            grown = self.op("tanh", inner)
        else:
            grown = self.op("erf", self.op("mul", x, self.constant(0.7071067811865476)))
        return self.op("mul", self.op("mul", x, half), self.op("add", grown, one))
