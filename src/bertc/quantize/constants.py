"""Gives weights and tables the dtypes of the nodes that read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from bertc.errors import RecipeError
from bertc.ir import formulas
from bertc.ir.graph import Constant, DType, Graph
from bertc.precision import BF16, FP16, FP32, integers

Array = np.ndarray[Any, Any]


class RoundedWeight(NamedTuple):
    """A weight matrix in 8 (or 7) bits."""

    numbers: Array
    """The integers: int8 [out, in]."""
    scale: Array
    """What each row of integers is multiplied by: float32 [out]."""


class StaticScale(NamedTuple):
    """A map of a value to 8 bits, the same for all rows: ``x ~ scale * (q - zero_point)``."""

    scale: float
    zero_point: int
    """The integer that stands for zero, from 0 to 255."""


class _InBf16:
    """A constant that is rounded to bf16 where it is needed: its float32 numbers would be a second model."""

    def __init__(self, constant: Constant) -> None:
        self.shape, self._constant = constant.source.shape, constant

    def read(self) -> Array:
        """Return float32 numbers that are representable in bf16."""
        return formulas.round_to_bf16(self._constant.array)


class TypedConstants:
    """Makes the constants of a typed graph on request from those of a fused one.

    A constant keeps its name, unless nodes of several precisions share it: then each form but the
    fp32 one gets a suffix. A scale is called as its tensor, and ``.scale``.
    """

    def __init__(
        self, graph: Graph, precisions: Mapping[str, str], rounded: Mapping[str, RoundedWeight] | None = None
    ) -> None:
        """``rounded`` has weights that are in 8 bits already, by name; all others are rounded to nearest."""
        self._graph = graph
        self._rounded = rounded or {}
        self._forms: dict[str, set[str]] = {}
        for node in graph.nodes:
            for value in node.inputs.values():
                if value in graph.constants:
                    self._forms.setdefault(value, set()).add(precisions.get(node.name, FP32))
        self.made: dict[str, Constant] = {}

    def f32(self, name: str) -> str:
        """Keep a constant as it is. Returns its name."""
        self.made[name] = self._graph.constants[name]
        return name

    def bf16(self, name: str) -> str:
        """Round a constant to bf16. Returns its new name."""
        return self._add(name, BF16, Constant(DType.BF16, _InBf16(self._graph.constants[name])))

    def f16(self, name: str) -> str:
        """Round a constant to fp16. Returns its new name. Raises ``RecipeError`` for too large numbers."""
        array = self._graph.constants[name].array
        if np.abs(array).max() > np.finfo(np.float16).max:
            raise RecipeError(f"{name} holds numbers beyond fp16: compile with embeddings: fp32")
        return self._add(name, FP16, Constant(DType.F16, array.astype(np.float16)))

    def int8(self, name: str, bits: int = 8) -> tuple[str, str]:
        """Quantize to ``bits`` with one scale per row. Returns the names of integers and scales."""
        rounded = self._rounded.get(name)
        if rounded is None:
            rounded = RoundedWeight(*formulas.quantize_per_channel(self._graph.constants[name].array, bits))
        quantized = self._add(name, integers(bits).name, Constant(DType.I8, rounded.numbers))
        self.made[f"{quantized}.scale"] = Constant(DType.F32, rounded.scale)
        return quantized, f"{quantized}.scale"

    def static(self, value: str, static: StaticScale) -> str:
        """Make a constant of a value's scale and zero point for the node that writes it. Returns its name."""
        name = f"{value}.static"
        self.made[name] = Constant(DType.F32, np.array(static, np.float32))
        return name

    def for_all_rows(self, scale: str, zero_point: str, static: StaticScale) -> None:
        """Make constants of the scale and the zero point of all rows, under the names that readers use."""
        self.made[scale] = Constant(DType.F32, np.array([static.scale], np.float32))
        self.made[zero_point] = Constant(DType.I32, np.array([static.zero_point], np.int32))

    def _add(self, name: str, form: str, constant: Constant) -> str:
        typed = name if len(self._forms[name]) == 1 else f"{name}.{form}"
        self.made[typed] = constant
        return typed
