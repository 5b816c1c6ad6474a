"""Primitives that work element by element."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from bertc.primitives.primitive import DTYPE, Primitive, broadcast_all, same

Array = np.ndarray[Any, Any]

_erf = np.frompyfunc(math.erf, 1, 1)


def _floats(function: Callable[[Array], Any]) -> Callable[[Array], Array]:
    """Return a function of one array that computes in float64, and gives the float type it was given."""

    def compute(x: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(function(x.astype(np.float64)), x.dtype if x.dtype.kind == "f" else np.float64)

    return compute


def _unary(function: Callable[[Array], Any]) -> Callable[[Array], Array]:
    return lambda x: np.asarray(function(x))


def _binary(function: Callable[[Array, Array], Any]) -> Callable[[Array, Array], Array]:
    def compute(a: Array, b: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(function(a, b))

    return compute


def _div(a: Array, b: Array) -> Any:
    """Divide; whole numbers are truncated towards zero."""
    if object in (a.dtype, b.dtype):
        return a // b
    if a.dtype.kind in "iub" and b.dtype.kind in "iub":
        return np.trunc(a / b).astype(a.dtype)
    return a / b


def _pow(a: Array, b: Array) -> Any:
    return np.power(a, b.astype(a.dtype) if a.dtype.kind == "f" else b)


def _logical(function: Callable[[Array, Array], Any]) -> Callable[[Array, Array], Any]:
    return lambda a, b: function(a.astype(bool), b.astype(bool))


def _cast(x: Array, *, to: str) -> Array:
    """Convert; all floats are float32, as half precision is a way to store, not to compute."""
    if x.dtype == object:
        return x
    with np.errstate(all="ignore"):
        return x.astype(to)


def _where(condition: Array, a: Array, b: Array) -> Array:
    return np.where(condition.astype(bool), a, b)


_UNARY: dict[str, Callable[[Array], Array]] = {
    **{name: _unary(getattr(np, name)) for name in ("abs", "sign", "floor", "ceil", "isnan", "isinf")},
    "neg": _unary(np.negative),
    "round": _unary(np.rint),
    "not": lambda x: np.asarray(np.logical_not(x.astype(bool))),
    "relu": lambda x: np.maximum(x, x.dtype.type(0)),
    "sqrt": _floats(np.sqrt),
    "reciprocal": _floats(lambda x: 1 / x),
    "exp": _floats(np.exp),
    "log": _floats(np.log),
    "erf": _floats(_erf),
    "tanh": _floats(np.tanh),
    "sin": _floats(np.sin),
    "cos": _floats(np.cos),
    "sigmoid": _floats(lambda x: 1 / (1 + np.exp(-x))),
    "softplus": _floats(lambda x: np.logaddexp(0, x)),
}
_BINARY: dict[str, Callable[[Array, Array], Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": _div,
    "pow": _pow,
    "mod": np.mod,
    "max": np.maximum,
    "min": np.minimum,
    "equal": np.equal,
    "less": np.less,
    "less_equal": np.less_equal,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
    "and": _logical(np.logical_and),
    "or": _logical(np.logical_or),
}
UNARY = frozenset(_UNARY)
BINARY = frozenset(_BINARY)
ROWS = (
    *(Primitive(name, compute, same) for name, compute in _UNARY.items()),
    *(Primitive(name, _binary(compute), broadcast_all) for name, compute in _BINARY.items()),
    Primitive("cast", _cast, same, {"to": DTYPE}),
    Primitive("where", _where, broadcast_all),
)
