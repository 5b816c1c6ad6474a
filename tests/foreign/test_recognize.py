from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bertc.foreign.raising.meanings import Expression, Rows, Written
from bertc.foreign.raising.recognize import Activation, Affine, LayerNorm, Normalize, recognize

WIDTH = 8
X = Written("x", WIDTH, True)
GAMMA, BETA = np.linspace(0.5, 2, WIDTH), np.linspace(-1, 1, WIDTH)


def apply(op: str, *operands: Rows | Any, width: int = WIDTH) -> Expression:
    arrays = tuple(each if isinstance(each, Rows) else np.asarray(each, np.float64) for each in operands)
    attributes = {"axes": (-1,), "keepdims": True} if op.startswith("reduce_") else {}
    return Expression(op, arrays, attributes, width)


def mean(x: Rows) -> Expression:
    return apply("reduce_mean", x, width=1)


def test_the_two_gelus_are_told_apart() -> None:
    erf = apply("erf", apply("div", X, np.sqrt(2)))
    cubed = apply("mul", apply("pow", X, 3.0), 0.044715)
    tanh = apply("tanh", apply("mul", apply("add", X, cubed), np.sqrt(2 / np.pi)))
    for inner, name in ((erf, "gelu"), (tanh, "gelu_tanh")):
        found = recognize(apply("mul", apply("mul", X, 0.5), apply("add", inner, 1.0)))
        assert found == Activation(name)


def test_a_number_for_each_column_is_a_scaling() -> None:
    found = recognize(apply("add", apply("mul", X, GAMMA), BETA))
    assert isinstance(found, Affine)
    np.testing.assert_allclose(found.multiplier, GAMMA)
    np.testing.assert_allclose(found.offset, BETA)


@pytest.mark.parametrize("epsilon", [1e-5, 1e-7, 1e-12])
def test_the_epsilon_of_a_layer_norm(epsilon: float) -> None:
    centered = apply("sub", X, mean(X))
    root = apply("sqrt", apply("add", mean(apply("mul", centered, centered)), epsilon))
    norm = apply("add", apply("mul", apply("div", centered, root), GAMMA), BETA)
    found = recognize(norm)
    assert isinstance(found, LayerNorm)
    assert found.epsilon == epsilon
    np.testing.assert_allclose(found.gamma, GAMMA)


def test_division_by_the_norm() -> None:
    norm = apply("reduce_l2", X, width=1)
    assert recognize(apply("div", X, apply("max", norm, 1e-12))) == Normalize()


@pytest.mark.parametrize(
    "expression",
    [
        apply("mul", X, X),
        apply("sin", X),
        apply("add", X, Written("y", WIDTH, True)),
        apply("sub", X, mean(X)),
        apply("log", X),
        apply("min", apply("max", apply("add", apply("mul", X, 1 / 6), 0.5), 0.0), 1.0),
    ],
    ids=["square", "sine", "two values", "centered", "logarithm", "hard sigmoid"],
)
def test_what_has_no_op(expression: Expression) -> None:
    assert recognize(expression) is None
