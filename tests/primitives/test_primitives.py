"""Each primitive: its shape rule says the shape of what it computes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bertc.primitives import PRIMITIVES, Operand, ShapeError
from bertc.primitives.elementwise import BINARY, UNARY

X = np.arange(1, 25, dtype=np.float32).reshape(2, 3, 4)
INTS = np.arange(24).reshape(2, 3, 4)


def ints(*values: int) -> Any:
    return np.array(values, np.int64)


CASES: dict[str, list[tuple[tuple[Any, ...], dict[str, Any]]]] = {
    **{name: [((X,), {})] for name in UNARY},
    **{name: [((X, X[:1, :, :1]), {}), ((INTS, ints(3)), {})] for name in BINARY},
    "cast": [((X,), {"to": "int64"})],
    "conv1d": [
        ((X, X.reshape(4, 3, 2)), {"stride": 1, "pads": (1, 2), "dilation": 2, "groups": 1}),
        (
            (X[:, :, :3], X[0].reshape(3, 1, 4)[..., :2]),
            {"stride": 2, "pads": (0, 1), "dilation": 1, "groups": 3},
        ),
    ],
    "where": [((X > 5, X, np.float32(0)), {})],
    "reshape": [((X, ints(0, -1, 2)), {}), ((X, ints(4, 6)), {"keep_zeros": True})],
    "transpose": [((X,), {"perm": (2, 0, 1)})],
    "gather": [((X, np.array(1)), {"axis": 1}), ((X, ints(0, 1, 0)), {"axis": -1})],
    "gather_elements": [((X, INTS % 3), {"axis": 1})],
    "gather_nd": [((X, np.array([[0, 1], [1, 2]])), {})],
    "concat": [((X, X[:, :1]), {"axis": 1})],
    "slice": [
        ((X, ints(1, -3), ints(2, 2**62)), {"axes": (0, 2), "steps": (1, 2)}),
        ((X, ints(-1), ints(-(2**62))), {"axes": (1,), "steps": (-1,)}),
        ((X, ints(5), ints(9)), {"axes": (1,), "steps": (1,)}),
    ],
    "chunk": [((X,), {"axis": -1, "index": 1, "count": 2}), ((X,), {"axis": 1, "index": 1, "count": 2})],
    "unsqueeze": [((X,), {"axes": (0, -1)})],
    "squeeze": [((X[:1, :, :1],), {"axes": (0,)}), ((X[:1, :, :1],), {"axes": None})],
    "expand": [((X[:1], ints(5, 2, 1, 1)), {})],
    "tile": [((X, ints(1, 2, 3)), {})],
    "pad": [((X, ints(0, 1, 0, 2, 0, 1), np.float32(0)), {})],
    "trilu": [((X,), {"upper": True, "k": 1}), ((X,), {"upper": False, "k": 0})],
    "matmul": [((X, X.transpose(0, 2, 1)), {}), ((X, X[0, 0]), {}), ((X[0], X.transpose(0, 2, 1)), {})],
    **{
        f"reduce_{name}": [
            ((X,), {"axes": (1, -1), "keepdims": True}),
            ((X,), {"axes": None, "keepdims": False}),
        ]
        for name in ("sum", "mean", "max", "min", "prod", "l2")
    },
    "softmax": [((X,), {"axis": 1})],
    "layer_norm": [((X, X[0, 0], X[0, 0]), {"axis": -1, "epsilon": 1e-5})],
    "cumsum": [((INTS,), {"axis": 1, "exclusive": True, "reverse": True})],
    "shape": [((X,), {"start": 0, "end": -1}), ((X,), {"start": 1, "end": None})],
    "range": [((np.array(0), np.array(7), np.array(1)), {}), ((np.array(0), np.array(7), np.array(2)), {})],
    "full": [((ints(2, 3),), {"value": np.float32(1)})],
    "score_mask": [((X > 3,), {}), ((X,), {})],
    "key_mask": [((ints(1, 3), np.array(4)), {}), ((INTS[0] % 2, np.array(4)), {})],
}


def test_every_primitive_has_a_case() -> None:
    assert CASES.keys() == PRIMITIVES.keys()


@pytest.mark.parametrize("name", PRIMITIVES)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_the_rule_says_the_shape(name: str) -> None:
    primitive = PRIMITIVES[name]
    for operands, attributes in CASES[name]:
        result = np.asarray(primitive.compute(*map(np.asarray, operands), **attributes))
        known = [Operand(np.shape(each), np.asarray(each)) for each in operands]
        assert primitive.rule(known, attributes) == result.shape
        assert primitive.arity in (None, len(operands))


@pytest.mark.parametrize(
    ("name", "shapes", "attributes"),
    [
        ("add", [(2, 3), (4,)], {}),
        ("matmul", [(2, 3), (4, 5)], {}),
        ("transpose", [(2, 3)], {"perm": (0, 0)}),
        ("gather", [(2, 3), ()], {"axis": 5}),
        ("unsqueeze", [(2, 3)], {"axes": (0, 0)}),
    ],
)
def test_operands_that_do_not_fit(
    name: str, shapes: list[tuple[int, ...]], attributes: dict[str, Any]
) -> None:
    with pytest.raises(ShapeError):
        PRIMITIVES[name].rule([Operand(shape) for shape in shapes], attributes)


def test_a_reshape_to_another_number_of_elements() -> None:
    with pytest.raises(ShapeError, match="cannot become"):
        PRIMITIVES["reshape"].rule([Operand((2, 3)), Operand((2,), ints(4, 2))], {})
