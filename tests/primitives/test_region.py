"""A region: its text and back, what is refused of it, and that it runs sequence by sequence."""

from __future__ import annotations

import dataclasses
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from bertc.primitives import PRIMITIVES
from bertc.primitives.host_steps import find_host_steps, tell_host_steps
from bertc.primitives.region import LENGTH, NUMBERS, Call, Literal, Region, RegionError, RowsOf, check, run

Array = np.ndarray[Any, Any]
COLUMNS = 3
ROWS = {"x0": RowsOf(True, COLUMNS)}
X = np.arange(24, dtype=np.float32).reshape(8, COLUMNS)
BOUNDS = [0, 3, 4, 8]


def call(op: str, *inputs: str, output: str = "y", **attributes: Any) -> Call:
    return Call(op, inputs, output, MappingProxyType(attributes), f"'{op}' (Test)")


def region(*calls: Call, constants: dict[str, Literal] | None = None, output: str = "y") -> Region:
    return Region({"x0": (1, LENGTH, COLUMNS)}, constants or {}, calls, output, "a reason")


MEAN = region(call("reduce_mean", "x0", axes=(1,), keepdims=False))
CENTERED = region(
    call("reduce_mean", "x0", axes=(1,), keepdims=True, output="mean"), call("sub", "x0", "mean")
)
SQUARE = region(
    call("reshape", "x0", "shape", output="flat"),
    call("transpose", "flat", perm=(1, 0), output="turned"),
    call("matmul", "flat", "turned", output="square"),
    call("add", "square", "numbers.part", output="sum"),
    call("matmul", "sum", "flat"),
    constants={
        "shape": Literal("size", (2,), (LENGTH, COLUMNS)),
        "numbers.part": Literal("float32", (), None, 1),
    },
)


def test_text_and_back() -> None:
    for each in (MEAN, CENTERED, SQUARE):
        again = Region.from_json(each.to_json())
        assert again.to_json() == each.to_json()
        assert again.sources == each.sources
        assert again.reason == "a reason"


def test_a_row_for_each_sequence() -> None:
    assert check(MEAN, ROWS, 0, per_token=False) == COLUMNS
    found = run(MEAN, {"x0": X}, BOUNDS, per_token=False)
    np.testing.assert_allclose(found, [X[0:3].mean(0), X[3:4].mean(0), X[4:8].mean(0)])


def test_a_row_for_each_token() -> None:
    assert check(CENTERED, ROWS, 0, per_token=True) == COLUMNS
    found = run(CENTERED, {"x0": X}, BOUNDS, per_token=True)
    np.testing.assert_allclose(found[3], 0)
    np.testing.assert_allclose(found[4:], X[4:] - X[4:].mean(0))


def test_sizes_and_numbers() -> None:
    assert check(SQUARE, ROWS, 2, per_token=True) == COLUMNS
    found = run(SQUARE, {"x0": X, NUMBERS: np.array([9, 0.5], np.float32)}, BOUNDS, per_token=True)
    part = X[4:8]
    np.testing.assert_allclose(found[4:8], (part @ part.T + 0.5) @ part, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "int64", "bool"])
def test_ids_and_masks(dtype: str) -> None:
    every = region(
        call("add", "input_ids", "token_type_ids", output="a"),
        call("add", "a", "attention_mask", output="b"),
        call("add", "b", "position_ids", output="c"),
        call("cast", "c", to=dtype),
    )
    assert check(every, ROWS, 0, per_token=True) == 1
    ids = np.arange(8, dtype=np.int32)
    found = run(every, {"x0": X, "input_ids": ids}, BOUNDS, per_token=True)
    expected = ids + 1 + [0, 1, 2, 0, 0, 1, 2, 3]
    np.testing.assert_array_equal(found.ravel(), expected if dtype != "bool" else np.ones(8))
    given = run(every, {"x0": X, "input_ids": ids, "position_ids": ids * 0}, BOUNDS, per_token=True)
    np.testing.assert_array_equal(given.ravel(), ids + 1 if dtype != "bool" else np.ones(8))


WRONG: dict[str, tuple[Region, str]] = {
    "an operand that is not there": (region(call("sin", "x1")), "reads what nothing"),
    "one operand too many": (region(call("sin", "x0", "x0")), "takes 1 operands"),
    "a value that is written twice": (region(call("sin", "x0"), call("cos", "x0")), "reads what nothing"),
    "columns that cannot be multiplied": (region(call("matmul", "x0", "x0")), "cannot be multiplied"),
    "no output": (region(call("sin", "x0"), output="z"), "no row for each token"),
    "another shape": (region(call("reduce_sum", "x0", axes=(1,), keepdims=False)), "no row for each token"),
    "a square": (
        region(call("transpose", "x0", perm=(0, 2, 1), output="t"), call("matmul", "x0", "t")),
        "no row for each token",
    ),
    "an axis that is not there": (region(call("softmax", "x0", axis=7)), "cannot be computed"),
    "an attribute that is missing": (region(call("softmax", "x0")), "cannot be computed"),
    "a bomb": (
        region(
            call("tile", "x0", "many", output="t"),
            call("slice", "t", "zero", "one", axes=(0,), steps=(1,)),
            constants={
                "many": Literal("int64", (3,), (10**9, 1, 1)),
                "zero": Literal("int64", (1,), (0,)),
                "one": Literal("int64", (1,), (1,)),
            },
        ),
        "which cannot be",
    ),
    "numbers that are not there": (
        region(call("add", "x0", "c"), constants={"c": Literal("float32", (3,), None, 4)}),
        "no constant 'c' that fits",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_makes_no_sense_is_refused(name: str) -> None:
    wrong, message = WRONG[name]
    with pytest.raises(RegionError, match=message):
        check(wrong, ROWS, 6, per_token=True)


def test_rows_that_are_something_else() -> None:
    with pytest.raises(RegionError, match="'x0'"):
        check(CENTERED, {"x0": RowsOf(True, COLUMNS + 1)}, 0, per_token=True)
    with pytest.raises(RegionError, match="'x0'"):
        check(CENTERED, {}, 0, per_token=True)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"sub"', '"shape"'),
        ('"sub"', '"__import__"'),
        ("[1]", "[1.5]"),
        ("true", "1"),
        ('"axes"', '"axis"'),
        ('"y"', "7"),
        ("[0,1]", "[0,0,0,0,0,0,0,0,0,1]"),
        ("[0,1]", '"length"'),
        ("{", "["),
        ('"reason":"a reason"', '"reason":null'),
    ],
)
def test_texts_that_are_no_region(before: str, after: str) -> None:
    text = CENTERED.to_json()
    assert before in text
    with pytest.raises(RegionError):
        Region.from_json(text.replace(before, after, 1))


def test_a_run_that_fails_names_the_node() -> None:
    lookup = region(call("gather", "x0", "input_ids", axis=1, output="g"), call("squeeze", "g", axes=(0, 1)))
    with pytest.raises(RegionError, match=r"'gather' \(Test\).*out of bounds"):
        run(lookup, {"x0": X, "input_ids": np.full(8, 99)}, BOUNDS, per_token=True)


def test_every_attribute_of_a_primitive_has_a_kind() -> None:
    import inspect

    for row in PRIMITIVES.values():
        named = [
            each.name
            for each in inspect.signature(row.compute).parameters.values()
            if each.kind == each.KEYWORD_ONLY
        ]
        assert row.attributes is None or [*row.attributes] == named, row.name


@dataclasses.dataclass
class Step:
    name: str
    op: str
    attributes: dict[str, Any]


def test_steps_are_told_and_long_lists_are_cut() -> None:
    many = region(*(call("sin", "x0", output=f"v{i}") for i in range(3)), output="v0")
    steps = [Step(f"s{i}", "host", {"region": many.to_json()}) for i in range(2)]
    found = find_host_steps([*steps, Step("other", "linear", {})])
    assert [*found] == ["s0", "s1"]
    text = tell_host_steps(found)
    assert text == "nodes that run on the host, with NumPy in fp32: 'sin' (Test), 'sin' (Test) (a reason)"
    long = region(*(Call("sin", ("x0",), f"v{i}", {}, f"'n{i}'") for i in range(25)), output="v0")
    assert "'n19', 5 more" in tell_host_steps({"s": long})
    with pytest.raises(RegionError, match="step 's'"):
        find_host_steps([Step("s", "host", {})])
