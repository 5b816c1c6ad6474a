"""What an expression on the elements of a row is: an activation, a layer norm, a normalization, a scaling.

It is found by trying: the expression and the op are computed on a few rows, and compared. So it does not
matter how an exporter spells GELU, in which order it multiplies, or how it takes a variance.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from bertc.foreign.raising.meanings import Expression, Rows
from bertc.ir import reference
from bertc.primitives import PRIMITIVES

Array = np.ndarray[Any, Any]

_SEED = 5
_ROWS = 4
_COLUMNS = 64
"""The columns that an elementwise op is tried on."""
_ACTIVATION_ERROR = 2e-4
"""Between the constants of half precision and of single: less than half of what the two GELUs differ by."""
_SPREADS = (1.0, 3e-2, 1e-3, 1e-6)
"""The spreads of rows that tell one epsilon of a layer norm from another."""
_ERROR = 1e-4
_FAR = 1e3
"""Beyond this no activation is a line that has been none, and no half precision is cut off yet."""


@dataclass(frozen=True)
class Activation:
    """An elementwise op of the IR."""

    name: str


@dataclass(frozen=True, eq=False)
class Affine:
    """A product with, and then a sum with, a number for each column."""

    multiplier: Array
    offset: Array


@dataclass(frozen=True, eq=False)
class LayerNorm:
    """A layer norm."""

    gamma: Array
    beta: Array
    epsilon: float
    rms: bool = False


@dataclass(frozen=True)
class Normalize:
    """A division of each row by its L2 norm."""


Found = Activation | Affine | LayerNorm | Normalize


def base_of(rows: Rows) -> Rows | None:
    """Return the one value that an expression is of: itself, for what is written or no expression."""
    bases = {id(each): each for each in leaves(rows)}
    return next(iter(bases.values())) if len(bases) == 1 else None


def recognize(expression: Expression) -> Found | None:
    """Return what an expression of one base is, or None."""
    base = base_of(expression)
    if base is None or expression.width == 1 != base.width:
        return None
    nodes = [*_nodes(expression)]
    reduces = any(node.op.startswith("reduce_") for node in nodes)
    constants = [each for node in nodes for each in node.operands if isinstance(each, np.ndarray)]
    vectors = [each for each in constants if each.ndim]
    if reduces:
        return _normalization(expression, base, constants)
    if not vectors:
        found = _activation(expression, base)
        if found is not None:
            return found
    return _affine(expression, base)


def _nodes(rows: Rows) -> Iterator[Expression]:
    """Yield the expressions that are not written yet, each once."""
    seen: set[int] = set()
    waiting = [rows]
    while waiting:
        each = waiting.pop()
        if isinstance(each, Expression) and each.value is None and id(each) not in seen:
            seen.add(id(each))
            yield each
            waiting.extend(operand for operand in each.operands if isinstance(operand, Rows))


def leaves(rows: Rows) -> Iterator[Rows]:
    """Yield the values that an expression is of, in any order."""
    inner = [*_nodes(rows)]
    if not inner:
        yield rows
    for node in inner:
        for operand in node.operands:
            if isinstance(operand, Rows) and not (isinstance(operand, Expression) and operand.value is None):
                yield operand


def _evaluate(rows: Rows, base: Rows, x: Array, known: dict[int, Array]) -> Array:
    """Return an expression on rows ``x`` of its base, in float64."""
    if rows is base:
        return x
    if id(rows) not in known:
        assert isinstance(rows, Expression)
        operands = [
            _evaluate(each, base, x, known) if isinstance(each, Rows) else each.astype(np.float64)
            for each in rows.operands
        ]
        with np.errstate(all="ignore"):
            result = PRIMITIVES[rows.op].compute(*operands, **rows.attributes)
            known[id(rows)] = np.asarray(result, np.float64)
    return known[id(rows)]


def _sample(width: int, spread: float = 1.0) -> Array:
    return np.random.default_rng(_SEED).standard_normal((_ROWS, width)) * spread


def _activation(expression: Expression, base: Rows) -> Activation | None:
    x = _sample(min(base.width, _COLUMNS), 3.0)
    found = _evaluate(expression, base, x, {})
    errors = {
        name: float(np.abs(function(x.astype(np.float32)) - found).max())
        for name, function in reference.ACTIVATIONS.items()
    }
    best = min(errors, key=errors.__getitem__)
    return Activation(best) if errors[best] <= _ACTIVATION_ERROR else None


def _affine(expression: Expression, base: Rows) -> Affine | None:
    width = base.width
    offset, one = (_evaluate(expression, base, np.full((1, width), each), {})[0] for each in (0.0, 1.0))
    if not np.isfinite([offset, one]).all():
        return None
    # What is bent far away is no line: a hard sigmoid.
    x = np.concatenate([_sample(width), _sample(width, _FAR)])
    multiplier = one - offset
    fits = np.allclose(_evaluate(expression, base, x, {}), x * multiplier + offset, rtol=1e-5, atol=1e-9)
    return Affine(multiplier, offset) if fits else None


def _normalization(
    expression: Expression, base: Rows, constants: list[Array]
) -> LayerNorm | Normalize | None:
    samples = [_sample(base.width, spread) + spread * 0.3 for spread in _SPREADS]
    found = [_evaluate(expression, base, x, {}) for x in samples]
    with np.errstate(all="ignore"):
        if _near(found[:2], [x / np.sqrt((x**2).sum(axis=1, keepdims=True)) for x in samples[:2]]):
            return Normalize()
        vectors = [each for each in constants if each.ndim]
        scalars = {float(each) for each in constants if not each.ndim}
        epsilons = sorted(each for each in scalars if 0 < each < 0.01)
        for gamma, beta, epsilon, rms in itertools.product(
            [*vectors, np.ones(base.width)], [*vectors, np.zeros(base.width)], [*epsilons, 0.0], (False, True)
        ):
            if _near(found, [_layer_norm(x, gamma, beta, epsilon, rms=rms) for x in samples]):
                return LayerNorm(gamma, beta, epsilon, rms)
    return None


def _layer_norm(x: Array, gamma: Array, beta: Array, epsilon: float, *, rms: bool) -> Array:
    centered = x if rms else x - x.mean(axis=1, keepdims=True)
    variance = (centered**2).mean(axis=1, keepdims=True)
    return np.asarray(centered / np.sqrt(variance + epsilon) * gamma + beta)


def _near(found: list[Array], expected: list[Array]) -> bool:
    return all(
        bool((np.abs(a - b) <= _ERROR * max(1e-30, float(np.abs(b).max()))).all())
        for a, b in zip(found, expected, strict=True)
    )
