"""The error bounds of docs/numerics.md, each on a dense range of arguments and every instruction set."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bertc.ir import formulas, reference
from tests.parity.op_cases import Builder, Shape
from tests.support.native import ISAS, run_native

Array = np.ndarray[Any, Any]
COLUMNS = 64


def _run(builder: Builder, tokens: int, isa: str, lengths: tuple[int, ...] | None = None) -> Array:
    bounds = np.cumsum((0, *(lengths or (tokens,)))).astype(np.int32)
    inputs = {
        "input_ids": np.arange(tokens, dtype=np.int32),
        "position_ids": np.zeros(tokens, np.int32),
        "cu_seqlens": bounds,
    }
    return run_native(builder.graph(), inputs, isa)["y"]


def _builder(rows: Array) -> Builder:
    """A graph whose value ``x`` has these rows."""
    tokens, columns = rows.shape
    builder = Builder(Shape((tokens,), columns, columns, 1, 0), np.random.default_rng(0))
    builder.activation("x", columns)
    builder.constant("x.rows", rows.astype(np.float32))
    return builder


def _activate(x: Array, activation: str, isa: str) -> Array:
    """A product with the identity is exact: what is left is the activation."""
    builder = _builder(x.reshape(-1, COLUMNS))
    identity = builder.constant("weight", np.eye(COLUMNS, dtype=np.float32))
    bias = builder.constant("bias", np.zeros(COLUMNS, np.float32))
    builder.node("linear", ["x", identity, bias, ""], ["y"], activation=activation)
    builder.result("y")
    return _run(builder, len(x) // COLUMNS, isa).reshape(-1)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("activation", ["gelu", "gelu_tanh", "silu", "quick_gelu", "mish"])
def test_gelu_and_its_kin_are_within_a_millionth(activation: str, isa: str) -> None:
    near = np.linspace(-8, 8, 64 * COLUMNS, dtype=np.float32)
    far = np.array([-1e4, -100, -20, -1e-6, -0.0, 0.0, 1e-6, 20, 100, 1e4] * 32, np.float32)
    x = np.concatenate([near, far])
    error = np.abs(_activate(x, activation, isa) - reference.ACTIVATIONS[activation](x))
    assert (error / np.maximum(1, np.abs(x))).max() <= 1e-6


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "log1p_relu"])
def test_bounded_and_slow_functions_are_within_a_millionth(activation: str, isa: str) -> None:
    x = np.linspace(-50, 50, 64 * COLUMNS, dtype=np.float32)
    expected = reference.ACTIVATIONS[activation](x)
    assert np.abs(_activate(x, activation, isa) - expected).max() <= 1e-6


@pytest.mark.parametrize("isa", ISAS)
def test_a_logarithm_of_any_size_is_right_to_a_few_units_in_the_last_place(isa: str) -> None:
    x = np.logspace(-30, 37, 64 * COLUMNS, dtype=np.float32)
    error = np.abs(_activate(x, "log1p_relu", isa) - np.log1p(x.astype(np.float64)))
    assert (error / np.maximum(1, np.log1p(x))).max() <= 3e-7


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("activation", list(reference.ACTIVATIONS))
def test_no_activation_loses_the_largest_numbers(activation: str, isa: str) -> None:
    x = np.array([-1e30, -1e4, 1e4, 1e30] * 16, np.float32)
    expected = reference.ACTIVATIONS[activation](x)
    error = np.abs(_activate(x, activation, isa) - expected)
    assert (error / np.abs(x)).max() <= 1e-6


@pytest.mark.parametrize(("compute_dtype", "bound"), [("f32", 1e-6), ("bf16", 2**-7)])
@pytest.mark.parametrize("isa", ISAS)
def test_weights_of_attention_are_exponentials(isa: str, compute_dtype: str, bound: float) -> None:
    """Sequences of two tokens with scores 0 and s: the ratio of their weights is exp(s)."""
    scores = formulas.round_to_bf16(-np.linspace(0, 80, 2000, dtype=np.float32))
    rows = np.zeros((2 * len(scores), 3 * 16))
    query, key, value = (rows[:, i : i + 16] for i in (0, 16, 32))
    query[:, 0] = np.repeat(scores, 2)
    key[1::2, 0] = 1
    value[::2, 0] = 1
    value[1::2, 1] = 1
    builder = _builder(rows)
    builder.node(
        "attention",
        {"qkv": "x", "cu_seqlens": "cu_seqlens"},
        ["y"],
        num_attention_heads=1,
        scale=1.0,
        compute_dtype=compute_dtype,
    )
    builder.result("y")
    mixed = _run(builder, len(rows), isa, (2,) * len(scores))[::2].astype(np.float64)
    expected = np.exp(query[::2, 0])
    assert np.abs(mixed[:, 1] / mixed[:, 0] / expected - 1).max() <= bound


@pytest.mark.parametrize("compute_dtype", ["f32", "bf16", "int8"])
@pytest.mark.parametrize("isa", ISAS)
def test_scores_far_below_the_largest_get_no_weight(isa: str, compute_dtype: str) -> None:
    rows = np.zeros((60, 3 * 16))
    rows[:, 0] = 1e4
    rows[3, 16] = 1e4
    rows[:, 32] = np.arange(60)
    builder = _builder(rows)
    operands = {"qkv": "x", "cu_seqlens": "cu_seqlens"}
    attributes = {"num_attention_heads": 1, "scale": 1.0, "compute_dtype": compute_dtype}
    builder.node("attention", operands, ["y"], **attributes)  # type: ignore[arg-type]
    builder.result("y")
    np.testing.assert_array_equal(_run(builder, len(rows), isa)[:, 0], 3)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("columns", [7, 312, 768])
def test_layer_norm_is_within_a_millionth_of_the_largest(columns: int, isa: str) -> None:
    rng = np.random.default_rng(columns)
    # Where the mean is far larger than the spread, its own rounding in float32 counts: here it is not.
    rows = rng.standard_normal((200, columns)) + rng.standard_normal((200, 1))
    x = rows * np.exp(rng.uniform(-4, 4, (200, 1)))
    x[0] = 0
    builder = _builder(x)
    gamma = builder.constant("gamma", np.ones(columns, np.float32))
    beta = builder.constant("beta", np.zeros(columns, np.float32))
    builder.node("layer_norm", ["x", gamma, beta], ["y"], epsilon=1e-12)
    builder.result("y")
    expected = reference.layer_norm(x.astype(np.float32), np.ones(columns), np.zeros(columns), epsilon=1e-12)
    error = np.abs(_run(builder, len(x), isa) - expected)
    assert (error <= 1e-6 * np.maximum(np.abs(expected).max(axis=1, keepdims=True), 1e-30)).all()
