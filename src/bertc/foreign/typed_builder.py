"""A builder that knows the shape and the dtype of each value, for doors whose ops depend on them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bertc.foreign.builder import ForeignBuilder
from bertc.foreign.graph import ForeignNode, Tensor
from bertc.foreign.simplify import ELEMENTWISE, fold, shape_of
from bertc.primitives import PRIMITIVES
from bertc.primitives.dim import Shape

_BOOL, _INT, _FLOAT = np.dtype(bool), np.dtype(np.int64), np.dtype(np.float32)
_FIXED = {"shape": _INT, "key_mask": _BOOL, "layer_norm": _FLOAT}


class TypedBuilder(ForeignBuilder):
    """Folds what depends on constants and sizes alone, as ``simplify`` does, at once."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: dict[str, Shape] = {}
        self.dtypes: dict[str, np.dtype[Any]] = {}

    def input(self, role: str, shape: Shape) -> str:
        """Declare an input of whole numbers, and return its value."""
        self.shapes[role], self.dtypes[role] = shape, _INT
        return role

    def constant(self, value: ArrayLike | Tensor) -> str:
        """Append a constant: an array, a number (of a float, float32), or a tensor that is read later."""
        name = super().constant(value)
        self.shapes[name], self.dtypes[name] = self.constants[name].shape, self.constants[name].dtype
        return name

    def op(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Append any primitive. Raises ``CheckpointError`` if its operands do not fit together."""
        output = super().op(op, *inputs, **attributes)
        node = self.nodes[-1]
        self.shapes[output] = shape_of(node, self.shapes, self.constants)
        folded = fold(node, self.shapes, self.constants)
        if folded is not None:
            self.nodes.pop()
            self.constants[output] = folded
        self.dtypes[output] = self._dtype(node) if folded is None else folded.dtype
        return output

    def _dtype(self, node: ForeignNode) -> np.dtype[Any]:
        kinds = [self.dtypes[name] for name in node.inputs if name]
        if node.op in _FIXED:
            return _FIXED[node.op]
        if node.op in ELEMENTWISE:
            ones = [np.ones(1, kind) for kind in kinds]
            return np.asarray(PRIMITIVES[node.op].compute(*ones, **node.attributes)).dtype
        if node.op == "full":
            return np.asarray(node.attributes["value"]).dtype
        if node.op in ("matmul", "concat"):
            return np.result_type(*kinds)
        return _INT if node.op.startswith("reduce_") and kinds[0] == _BOOL else kinds[0]

    def swap_last(self, x: str) -> str:
        """Transpose the last two axes."""
        rank = len(self.shapes[x])
        return self.transpose(x, *range(rank - 2), rank - 1, rank - 2)
