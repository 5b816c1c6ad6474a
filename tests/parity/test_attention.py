"""Attention's own cases: long sequences, which it cuts into blocks, and products in 8 bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bertc.ir import reference
from tests.parity.op_cases import Builder, Shape
from tests.support.native import ISAS, run_native

Array = np.ndarray[Any, Any]
LENGTHS = (1, 20, 21, 48, 49, 50, 64, 65, 130, 257)
HEADS = 2
TOLERANCE = {"f32": 1e-5, "bf16": 1e-2, "int8": 1e-2}


def _bounds(lengths: tuple[int, ...]) -> Array:
    return np.cumsum((0, *lengths)).astype(np.int32)


def _attend(rows: Array, lengths: tuple[int, ...], isa: str, compute_dtype: str, scale: float) -> Array:
    tokens, columns = rows.shape
    builder = Builder(Shape(lengths, columns, columns, HEADS, 0), np.random.default_rng(0))
    builder.activation("qkv", columns)
    builder.constant("qkv.rows", rows.astype(np.float32))
    builder.node(
        "attention",
        {"qkv": "qkv", "cu_seqlens": "cu_seqlens"},
        ["y"],
        num_attention_heads=HEADS,
        scale=scale,
        compute_dtype=compute_dtype,
    )
    builder.result("y")
    inputs = {
        "input_ids": np.arange(tokens, dtype=np.int32),
        "position_ids": np.zeros(tokens, np.int32),
        "cu_seqlens": _bounds(lengths),
    }
    return run_native(builder.graph(), inputs, isa)["y"]


def _expected(rows: Array, lengths: tuple[int, ...], scale: float) -> Array:
    query, key, value = np.split(rows.astype(np.float32), 3, axis=1)
    bounds = _bounds(lengths)
    return reference.attention(
        bounds,
        query,
        key,
        value,
        num_attention_heads=HEADS,
        scale=scale,
        compute_dtype="f32",
        out_dtype="f32",
    )


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("compute_dtype", TOLERANCE)
@pytest.mark.parametrize("head_size", [16, 32, 48, 64])
def test_sequences_of_any_length_agree_with_numpy(head_size: int, compute_dtype: str, isa: str) -> None:
    rng = np.random.default_rng(head_size)
    rows = rng.standard_normal((sum(LENGTHS), 3 * HEADS * head_size)) * rng.uniform(0.5, 1.5)
    found = _attend(rows, LENGTHS, isa, compute_dtype, head_size**-0.5)
    error = np.abs(found - _expected(rows, LENGTHS, head_size**-0.5)).max()
    assert error <= TOLERANCE[compute_dtype] * np.abs(rows).max()


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("head_size", [16, 48])
def test_products_of_integers_of_8_bits_are_exact(head_size: int, isa: str) -> None:
    """Each query and key has a largest magnitude of 127, so that its scale is 1: only weights are rounded."""
    rng = np.random.default_rng(head_size)
    lengths = (49, 64, 100)
    rows = rng.integers(-127, 128, (sum(lengths), 3 * HEADS * head_size))
    heads = rows.reshape(len(rows), 3, HEADS, head_size)
    heads[:, :2, :, 0] = rng.choice([-127, 127], heads[:, :2, :, 0].shape)
    heads[:, 2] = np.sign(heads[:, 2])
    scale = 1 / (127 * 127)
    found = _attend(rows, lengths, isa, "int8", scale)
    # Weights are off by 2^-7 at most, sums of them, too, and their ratio is by twice that.
    assert np.abs(found - _expected(rows, lengths, scale)).max() <= 2**-6


@pytest.mark.parametrize("isa", ISAS)
def test_zero_queries_and_keys_weigh_all_values_alike(isa: str) -> None:
    rows = np.zeros((60, 3 * HEADS * 16))
    rows[:, 2 * HEADS * 16 :] = np.arange(60)[:, None]
    np.testing.assert_allclose(_attend(rows, (60,), isa, "int8", 0.25), 29.5, rtol=2**-7)


@pytest.mark.parametrize("isa", ISAS)
def test_whether_8_bits_are_used_depends_on_the_length_of_a_sequence_alone(isa: str) -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((20 + 130, 3 * HEADS * 32))
    short, long = (slice(0, 20), slice(20, 150))
    together = _attend(rows, (20, 130), isa, "int8", 0.2)
    np.testing.assert_array_equal(together[short], _attend(rows[short], (20,), isa, "int8", 0.2))
    np.testing.assert_array_equal(together[long], _attend(rows[long], (130,), isa, "int8", 0.2))
    in_bf16 = _attend(rows, (20, 130), isa, "bf16", 0.2)
    np.testing.assert_array_equal(together[short], in_bf16[short])
    assert (together[long] != in_bf16[long]).any() == isa.startswith("avx512")
