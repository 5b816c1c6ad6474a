"""The integer part of int8 products: the same bits on every instruction set, equal to NumPy's int64.

Weights that are bounded in pairs or fours run in kernels of their own on some of them.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertc.artifact.executable import Executable
from bertc.errors import ArtifactError
from bertc.ir import formulas, reference
from bertc.ir.graph import DType
from bertc.lowering.lower import lower
from bertc.quantize.bound import round_bounded
from tests.parity.op_cases import Builder, Shape
from tests.support.native import ISAS, build_program, run_program


def _sums_program(activations: np.ndarray, weight: np.ndarray) -> Executable:  # type: ignore[type-arg]
    """quantize_rows, linear_int8, and the product's buffer as int32: the kernel then stores its sums."""
    tokens, columns = activations.shape
    builder = Builder(Shape((tokens,), columns, len(weight), 1, 0), np.random.default_rng(0))
    x = builder.activation("x", columns)
    builder.constant("x.rows", activations)
    builder.node("quantize_rows", [x], ["q", "scale", "zero_point"])
    operands = ["q", "scale", "zero_point", builder.constant("weight", weight, DType.I8)]
    operands += [builder.normal("weight.scale", len(weight)), builder.normal("bias", len(weight)), ""]
    builder.node("linear_int8", operands, ["sums"], activation="none", out_dtype="f32")
    builder.result("sums")
    lowered = lower(builder.graph())
    buffers = tuple(
        dataclasses.replace(buffer, dtype="i32") if buffer.name == "sums" else buffer
        for buffer in lowered.program.buffers
    )
    return dataclasses.replace(lowered, program=dataclasses.replace(lowered.program, buffers=buffers))


def _assert_exact(activations: np.ndarray, weight: np.ndarray) -> None:  # type: ignore[type-arg]
    q, _, zero_point = formulas.quantize_rows(activations)
    expected = reference.linear_int8_accumulate(q, zero_point, weight)
    tokens = len(activations)
    inputs = {
        "input_ids": np.arange(tokens, dtype=np.int32),
        "cu_seqlens": np.array([0, tokens], np.int32),
    }
    for isa in ISAS:
        program = build_program(_sums_program(activations, weight), isa)
        np.testing.assert_array_equal(run_program(program, inputs)["sums"], expected, err_msg=isa)


def bounded(weight: np.ndarray, bound: str) -> np.ndarray:  # type: ignore[type-arg]
    """Whole numbers near ``weight`` that keep the bound."""
    ones = np.ones(len(weight), np.float32)
    return round_bounded(weight.astype(np.float32), ones, np.ones(weight.shape[1]), 127, bound)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    tokens=st.integers(1, 150),
    columns=st.integers(1, 400),
    out=st.integers(1, 90),
    bound=st.sampled_from(formulas.BOUNDS),
    seed=st.integers(0, 2**16),
)
def test_sums_are_exact_for_random_shapes(tokens: int, columns: int, out: int, bound: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    weight = bounded(rng.uniform(-127, 127, (out, columns)), bound)
    _assert_exact(rng.standard_normal((tokens, columns)).astype(np.float32), weight)


@pytest.mark.parametrize("value", [-127, -63, 63, 127])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_sums_are_exact_at_the_extremes(value: int, sign: float) -> None:
    """All activations at 255 (or 0 with zero point 255) against the largest weights: nothing saturates."""
    columns = 3072
    activations = np.full((7, columns), sign, np.float32)
    _assert_exact(activations, np.full((33, columns), value, np.int8))


@pytest.mark.parametrize("columns", [8, 12, 768])
@pytest.mark.parametrize("first", [128, 127, 64, 0])
@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("bound", ["pairs", "fours"])
def test_sums_are_exact_at_the_bound(bound: str, sign: int, first: int, columns: int) -> None:
    """All activations at 255 against groups that add up to all that the bound allows, on either side."""
    depth = np.arange(columns)
    if bound == "pairs":
        row = np.where(depth % 2 == 0, first, 128 - first)
    else:
        row = np.where(depth % 8 < 4, first // 2, (128 - first) // 2)
    weight = np.tile(np.clip(sign * row, -128, 127).astype(np.int8), (20, 1))
    assert formulas.keeps_bound(weight, bound)
    _assert_exact(np.full((7, columns), 1, np.float32), weight)


DEEPEST = 65_792
"""2^31 / (255 * 128), in whole groups of four."""


def _deep(columns: int) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    return np.full((1, columns), 1, np.float32), np.full((1, columns), -128, np.int8)


def test_sums_are_exact_at_the_greatest_depth() -> None:
    _assert_exact(*_deep(DEEPEST))


def test_a_depth_at_which_sums_could_overflow_is_refused() -> None:
    program = _sums_program(*_deep(DEEPEST + 1))
    with pytest.raises(ArtifactError, match="too many columns for exact 32-bit sums"):
        build_program(program, ISAS[0])
