"""Collects the nodes and tensors of an ONNX graph, and knows what each value of ours is called in it."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from bertc.exporters.onnx.options import Options, import_onnx
from bertc.ir.graph import Graph, Node, TensorType
from bertc.ports import CU_SEQLENS

Array = np.ndarray[Any, Any]

MASK = "attention_mask"
FLOAT = 1
"""ONNX's number of float32."""
MASKED = -1e4
"""What is added where padding is: it fits fp16, and its exponential is 0 in float32 whenever the scores of a
row differ by less than 9,896."""


class Writer:
    """The ONNX graph under construction: [tokens, n] of ours is [batch, length, n] there."""

    def __init__(
        self,
        graph: Graph,
        types: Mapping[str, TensorType],
        options: Options,
        public: Mapping[str, str],
        reserved: Collection[str],
    ) -> None:
        """Take the public name of each value that has one; ``reserved`` names are given to nothing else."""
        self.graph, self.types, self.options = graph, types, options
        self.nodes: list[Any] = []
        self.tensors: dict[str, Array] = {}
        self.scope = ""
        """The name of our node that is being written."""
        self.static: dict[str, str] = {}
        """The constant with scale and zero point of each value in 8 bits."""
        self._onnx = import_onnx()
        self._public = public
        ports = {port.name for port in graph.inputs} | {MASK, CU_SEQLENS}
        self._taken = {*ports, *reserved}
        self._names = {port: port for port in ports}
        self._bound: set[str] = set()
        self._shared: dict[str, str] = {}
        self._read = {value for node in graph.nodes for value in node.inputs.values()}

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Append a node with one output. Returns the output's name."""
        return self.add_all(op, 1, *inputs, **attributes)[0]

    def add_all(self, op: str, count: int, *inputs: str, **attributes: Any) -> list[str]:
        """Append a node with several outputs. Returns their names."""
        name = self._unused(f"{self.scope}/{op}")
        outputs = [name if count == 1 else self._unused(f"{name}_{index}") for index in range(count)]
        self.nodes.append(self._onnx.helper.make_node(op, inputs, outputs, name=name, **attributes))
        return outputs

    def read(self, value: str) -> str:
        """Return what a value of our graph, or an input, is called."""
        return self._names[value]

    def bind(self, value: str, name: str) -> None:
        """Say that the last node's output is a value of our graph, whose name it takes.

        An output that is a value already is then both of them.
        """
        if name not in self._bound:
            name = self._public.get(value) or self._unused(value)
            self.rename(name)
        self._names[value] = name
        self._bound.add(name)

    def rename(self, name: str) -> None:
        """Give the last node's output a name that is reserved for it."""
        self.nodes[-1].output[0] = name

    def is_read(self, value: str) -> bool:
        """Return whether a node of our graph reads a value, or a caller."""
        return value in self._read or value in self.graph.outputs.values()

    def make(self, key: str, make: Callable[[], Array]) -> str:
        """Return the tensor of that key, made when it is asked for the first time."""
        if key not in self._shared:
            self._shared[key] = self._unused(key)
            self.tensors[self._shared[key]] = np.asarray(make(), order="C")
        return self._shared[key]

    def constant(self, name: str) -> str:
        """Return a constant of our graph as it is."""
        return self.make(name, lambda: self.graph.constants[name].array)

    def matrix(self, name: str) -> str:
        """Return a weight [out, in] of our graph as [in, out], which ONNX multiplies by."""
        return self.make(f"{name}.transposed", lambda: self.graph.constants[name].array.T)

    def number(self, value: float) -> str:
        """Return a float32 scalar."""
        return self.make(f"constant/{value:.9g}", lambda: np.array(value, np.float32))

    def integer(self, value: int) -> str:
        """Return an int64 scalar."""
        return self.make(f"constant/{value}_int64", lambda: np.array(value, np.int64))

    def integers(self, *values: int) -> str:
        """Return int64 [n]: axes, or a shape."""
        key = "_".join(map(str, values))
        return self.make(f"constant/int64_{key}", lambda: np.array(values, np.int64))

    def columns(self, value: str) -> int:
        """Return the number of columns of a value of our graph."""
        return int(self.types[value].shape[-1])

    def once(self, name: str, write: Callable[[], str]) -> str:
        """Return what ``write`` gave at the first call for this name, which its nodes are named after."""
        if name not in self._shared:
            scope, self.scope = self.scope, name
            self._shared[name] = write()
            self.scope = scope
        return self._shared[name]

    def mask(self) -> str:
        """Return the mask of tokens as float32 [batch, length]."""
        return self.once("mask", lambda: self.add("Cast", MASK, to=FLOAT))

    def token_mask(self) -> str:
        """Return the mask of tokens as float32 [batch, length, 1]."""
        return self.once("token_mask", lambda: self.add("Unsqueeze", self.mask(), self.integers(2)))

    def attention_bias(self) -> str:
        """Return what is added to attention's scores: float32 [batch, 1, 1, length]."""

        def write() -> str:
            padding = self.add("Sub", self.number(1), self.mask())
            bias = self.add("Mul", padding, self.number(MASKED))
            return self.add("Unsqueeze", bias, self.integers(1, 2))

        return self.once("attention_bias", write)

    def length(self) -> str:
        """Return the number of tokens of a sequence: int64 [1]."""

        def write() -> str:
            shape = self.add("Shape", self.read(MASK))
            return self.add("Slice", shape, self.integers(1), self.integers(2))

        if self.options.length is not None:
            return self.integers(self.options.length)
        return self.once("length", write)

    def bytes(self) -> int:
        """Return the size of all tensors."""
        return sum(math.prod(each.shape) * each.itemsize for each in self.tensors.values())

    def shape(self, *sizes: int) -> str:
        """Return the shape [batch, length, sizes]; 0 says that a size stays what it was."""
        return self.integers(self.options.batch or 0, self.options.length or 0, *sizes)

    def _unused(self, name: str) -> str:
        found, count = name, 1
        while found in self._taken:
            count += 1
            found = f"{name}_{count}"
        self._taken.add(found)
        return found


Write = Callable[[Writer, Node], None]
"""Writes one node of our graph."""
