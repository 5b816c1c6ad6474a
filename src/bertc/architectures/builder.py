"""Writes a graph node by node, for architectures: each method appends a node, returns its value."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from bertc.ir.graph import MODEL_INPUTS, Attribute, Constant, DType, Graph, Node
from bertc.ir.ops import OPS

Array = np.ndarray[Any, Any]


class GraphBuilder:
    """Nodes and constants in the order they are asked for.

    A node, and the one value it produces, are named as the module in the checkpoint; its constants
    are that name and ``.weight`` or ``.bias``.
    """

    def __init__(self, tensors: Mapping[str, Array]) -> None:
        self._tensors = tensors
        self._constants: dict[str, Constant] = {}
        self._nodes: list[Node] = []

    def op(self, op: str, name: str, *inputs: str, **attributes: Attribute) -> str:
        """Any op with one output."""
        self._nodes.append(Node(name, op, OPS[op].bind(*inputs), (name,), MappingProxyType(attributes)))
        return name

    def embedding(self, name: str, ids: str) -> str:
        """A lookup in the table ``name.weight``."""
        return self.op("embedding", name, ids, self._constant(f"{name}.weight"))

    def linear(self, name: str, x: str) -> str:
        """A dense layer with bias."""
        weight, bias = self._constant(f"{name}.weight"), self._constant(f"{name}.bias")
        return self.op("linear", name, x, weight, bias, activation="none")

    def layer_norm(self, name: str, x: str, epsilon: float) -> str:
        """A layer norm with gain and shift."""
        weight, bias = self._constant(f"{name}.weight"), self._constant(f"{name}.bias")
        return self.op("layer_norm", name, x, weight, bias, epsilon=epsilon)

    def graph(self, outputs: Mapping[str, str]) -> Graph:
        """The finished graph, stage "imported"."""
        return Graph(MODEL_INPUTS, self._constants, tuple(self._nodes), outputs)

    def _constant(self, name: str) -> str:
        self._constants[name] = Constant(DType.F32, self._tensors[name])
        return name
