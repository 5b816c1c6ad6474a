"""Attention alone on given queries, keys and values: by the native op, and by its NumPy twin."""

from __future__ import annotations

from typing import Any

import numpy as np

from bertc.ir import reference_attention
from bertc.ir.graph import DType
from tests.parity.op_cases import Builder, Shape
from tests.support.native import run_native

Array = np.ndarray[Any, Any]
LENGTHS = (1, 20, 21, 48, 49, 50, 64, 65, 130, 257)
HEADS = 2
TOLERANCE = {"f32": 1e-5, "bf16": 1e-2, "int8": 1e-2}


def bounds(lengths: tuple[int, ...]) -> Array:
    return np.cumsum((0, *lengths)).astype(np.int32)


def run_attention(
    rows: Array,
    lengths: tuple[int, ...],
    isa: str,
    compute_dtype: str,
    scale: float,
    bias: Array | None = None,
    rotary: Array | None = None,
    window: int = 0,
    distances: dict[str, Array] | None = None,
    slopes: Array | None = None,
    sharers: int = HEADS,
    **inputs: Array | None,
) -> Array:
    """``inputs`` are those of the graph beside ids: ``attended``, ``position_ids``, ``places``."""
    tokens, columns = rows.shape
    builder = Builder(Shape(lengths, columns, columns, HEADS, 0), np.random.default_rng(0))
    operands = {"qkv": builder.activation("qkv", columns), "cu_seqlens": "cu_seqlens"}
    builder.constant("qkv.rows", rows.astype(np.float32))
    if bias is not None:
        operands["distance_bias"] = builder.constant("bias", bias.astype(np.float32))
    if slopes is not None:
        operands["slopes"] = builder.constant("slopes", slopes)
    if rotary is not None:
        operands |= {"rotary": builder.constant("rotary", rotary), "position_ids": "position_ids"}
    for name, array in (distances or {}).items():
        rows_in = DType.F32 if compute_dtype == "f32" else DType.BF16
        operands[name] = builder.constant(name, array, DType.I32 if name == "buckets" else rows_in)
    given = {name: array for name, array in inputs.items() if array is not None}
    operands |= {name: name for name in given}
    builder.node(
        "attention",
        operands,
        ["y"],
        num_attention_heads=HEADS,
        num_key_value_heads=sharers,
        scale=scale,
        compute_dtype=compute_dtype,
        window=window,
    )
    builder.result("y")
    batch = {"input_ids": np.arange(tokens, dtype=np.int32), "cu_seqlens": bounds(lengths), **given}
    return run_native(builder.graph(), batch, isa)["y"]


def expected_attention(
    rows: Array,
    lengths: tuple[int, ...],
    scale: float,
    bias: Array | None = None,
    window: int = 0,
    distances: dict[str, Array] | None = None,
    sharers: int = HEADS,
    **operands: Array | None,
) -> Array:
    operands |= distances or {}
    if bias is not None:
        operands["distance_bias"] = bias.astype(np.float32)
    return reference_attention.attention(
        bounds(lengths),
        qkv=rows,
        **{name: array for name, array in operands.items() if array is not None},
        num_attention_heads=HEADS,
        num_key_value_heads=sharers,
        scale=scale,
        compute_dtype="f32",
        out_dtype="f32",
        window=window,
    )
