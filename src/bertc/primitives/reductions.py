"""Primitives that combine many elements: products of matrices, sums, means, softmax, norms."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from bertc.primitives.dim import Shape
from bertc.primitives.primitive import (
    AXES,
    FLAG,
    INTEGER,
    NUMBER,
    Operand,
    Primitive,
    ShapeError,
    axis_of,
    broadcast,
    broadcast_all,
    same,
    spell,
)

Array = np.ndarray[Any, Any]


def _matmul(a: Array, b: Array) -> Array:
    return np.asarray(np.matmul(a, b))


def _matmul_rule(operands: Sequence[Operand], _: Mapping[str, Any]) -> Shape:
    a, b = operands[0].shape, operands[1].shape
    if not a or not b or a[-1] != (b[-2] if len(b) > 1 else b[0]):
        raise ShapeError(f"{spell(a)} cannot be multiplied by {spell(b)}")
    rows, columns = a[-2:-1], b[-1:] if len(b) > 1 else ()
    return (*broadcast(a[:-2], b[:-2]), *rows, *columns)


def _reduce(function: Callable[..., Any]) -> Callable[..., Array]:
    def compute(x: Array, *, axes: Sequence[int] | None, keepdims: bool) -> Array:
        places = None if axes is None else tuple(axes)
        result = np.asarray(function(x, axis=places, keepdims=keepdims))
        return result.astype(x.dtype) if x.dtype.kind in "fi" else result

    return compute


def _reduce_rule(operands: Sequence[Operand], attributes: Mapping[str, Any]) -> Shape:
    shape, axes = operands[0].shape, attributes["axes"]
    places = {*range(len(shape))} if axes is None else {axis_of(axis, len(shape)) for axis in axes}
    if attributes["keepdims"]:
        return tuple(1 if axis in places else size for axis, size in enumerate(shape))
    return tuple(size for axis, size in enumerate(shape) if axis not in places)


def _norm(x: Array, *, axis: Any, keepdims: bool) -> Any:
    return np.sqrt((x.astype(np.float64) ** 2).sum(axis=axis, keepdims=keepdims))


def _softmax(x: Array, *, axis: int) -> Array:
    with np.errstate(all="ignore"):
        weights = np.exp(x.astype(np.float64) - x.max(axis=axis, keepdims=True))
        return np.asarray(weights / weights.sum(axis=axis, keepdims=True), x.dtype)


def _layer_norm(x: Array, scale: Array, bias: Array, *, axis: int, epsilon: float) -> Array:
    axes = tuple(range(axis % x.ndim, x.ndim))
    wide = x.astype(np.float64)
    centered = wide - wide.mean(axis=axes, keepdims=True)
    variance = (centered**2).mean(axis=axes, keepdims=True)
    return np.asarray(centered / np.sqrt(variance + epsilon) * scale + bias, np.float32)


def _cumsum(x: Array, *, axis: int, exclusive: bool, reverse: bool) -> Array:
    line = np.flip(x, axis) if reverse else x
    total = np.cumsum(line, axis=axis, dtype=x.dtype)
    total = total - line if exclusive else total
    return np.flip(total, axis) if reverse else total


_REDUCTIONS: dict[str, Callable[..., Any]] = {
    **{name: getattr(np, name) for name in ("sum", "mean", "max", "min", "prod")},
    "l2": _norm,
}
_OVER_AXES = {"axes": AXES, "keepdims": FLAG}
ROWS = (
    Primitive("matmul", _matmul, _matmul_rule),
    *(
        Primitive(f"reduce_{name}", _reduce(function), _reduce_rule, _OVER_AXES)
        for name, function in _REDUCTIONS.items()
    ),
    Primitive("softmax", _softmax, same, {"axis": INTEGER}),
    Primitive("layer_norm", _layer_norm, broadcast_all, {"axis": INTEGER, "epsilon": NUMBER}),
    Primitive("cumsum", _cumsum, same, {"axis": INTEGER, "exclusive": FLAG, "reverse": FLAG}),
)
