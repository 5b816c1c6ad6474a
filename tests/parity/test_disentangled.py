"""Scores that take rows of tables by the distance from query to key."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
import pytest

from bertc.architectures.disentangled import by_distance
from bertc.artifact.executable import Executable, Tensor
from bertc.errors import ArtifactError
from bertc.ir import formulas
from bertc.ir.graph import DType
from bertc.lowering.lower import lower
from tests.parity.attention_calls import (
    HEADS,
    LENGTHS,
    TOLERANCE,
    bounds,
    expected_attention,
    run_attention,
)
from tests.parity.op_cases import Builder, Shape
from tests.support.native import ISAS, build_program

Array = np.ndarray[Any, Any]


def _distances(
    rng: np.random.Generator, width: int, span: int, farthest: int, terms: str
) -> dict[str, Array]:
    """Buckets as DeBERTa has them, and rows that bf16 can represent."""
    rows, buckets = by_distance(span, farthest)
    tables = {
        name: formulas.round_to_bf16(rng.standard_normal((len(rows), width)).astype(np.float32))
        for name, term in (("position_keys", "c2p"), ("position_queries", "p2c"))
        if term in terms
    }
    return {"buckets": buckets, **tables}


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("compute_dtype", ["f32", "int8"])
@pytest.mark.parametrize(
    ("head_size", "span", "farthest", "terms"),
    [
        (16, 1, 0, "c2p p2c"),
        (32, 4, 6, "c2p"),
        (48, 6, 40, "p2c"),
        (64, 64, 128, "c2p p2c"),
        (16, 300, 0, "c2p p2c"),
        (32, 40, 22, "c2p p2c"),
    ],
)
def test_scores_take_rows_by_distance(
    head_size: int, span: int, farthest: int, terms: str, compute_dtype: str, isa: str
) -> None:
    """With keys that end early, and with tokens that lie apart in some sequences."""
    rng = np.random.default_rng(span)
    lengths = (1, 21, 64, 65, 300)
    rows = rng.standard_normal((sum(lengths), 3 * HEADS * head_size))
    distances = _distances(rng, HEADS * head_size, span, farthest, terms)
    flags = [np.arange(length) < rng.integers(0, length + 1) for length in lengths]
    gaps = np.cumsum(np.where(np.arange(len(rows)) < 100, 1, rng.integers(1, 4, len(rows)))).astype(np.int32)
    attended = {"attended": np.concatenate(flags).astype(np.int32)}
    scale = (3 * head_size) ** -0.5
    for operands in ({}, attended, {"places": gaps, **attended}):
        found = run_attention(rows, lengths, isa, compute_dtype, scale, distances=distances, **operands)
        expected = expected_attention(rows, lengths, scale, distances=distances, **operands)
        # Three terms of bf16 numbers, the products of which are up to twice as large as contents alone.
        assert np.abs(found - expected).max() <= 2 * TOLERANCE[compute_dtype] * np.abs(rows).max()


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("compute_dtype", TOLERANCE)
def test_rows_by_distance_treat_a_sequence_alike_in_every_batch(compute_dtype: str, isa: str) -> None:
    """Also where the tokens of another sequence lie apart."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((sum(LENGTHS), 3 * HEADS * 32))
    distances = _distances(rng, HEADS * 32, 16, 32, "c2p p2c")
    places = np.arange(len(rows), dtype=np.int32) * np.where(np.arange(len(rows)) < len(rows) - 3, 1, 2)
    attend = functools.partial(
        run_attention, isa=isa, compute_dtype=compute_dtype, scale=0.1, distances=distances
    )
    together = attend(rows, LENGTHS, places=places.astype(np.int32))
    for length, start in zip(LENGTHS[:-1], bounds(LENGTHS), strict=False):
        one = slice(start, start + length)
        np.testing.assert_array_equal(together[one], attend(rows[one], (length,)))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("buckets", lambda array: array + 1),
        ("buckets", lambda array: array[:, ::-1]),
        ("buckets", lambda array: 2 * array),
        ("buckets", lambda array: array - array * (array == array.max())),
        ("buckets", lambda array: np.concatenate([array, array + 1], axis=1)),
        ("buckets", lambda array: np.arange(array.size, dtype=np.int32)[None]),
        ("buckets", lambda array: array[:, :31]),
        ("buckets", lambda array: array.astype(np.float32)),
        ("buckets", lambda array: np.repeat(array, 2, axis=0)),
        ("position_keys", lambda array: array[:1]),
        ("position_keys", lambda array: array[:, :16]),
        ("position_queries", lambda array: array[:5]),
        ("position_queries", lambda array: array[:, :16]),
        ("position_queries", lambda array: array.view(np.int32)),
    ],
)
def test_buckets_that_name_other_rows_than_there_are_are_refused(name: str, change: Any) -> None:
    lowered = _disentangled()
    before = lowered.tensors[name]
    array = np.ascontiguousarray(change(before.array))
    dtype = {np.dtype(np.int32): "i32", np.dtype(np.float32): "f32"}[array.dtype]
    changed = dataclasses.replace(lowered, tensors={**lowered.tensors, name: Tensor(dtype, array)})
    build_program(lowered, ISAS[0])
    with pytest.raises(ArtifactError, match=f"tensor '{name}' must"):
        build_program(changed, ISAS[0])


def _disentangled() -> Executable:
    """Attention with 16 columns for each of two heads, and 18 rows of either table."""
    builder = Builder(Shape((3,), 96, 96, HEADS, 0), np.random.default_rng(0))
    operands = {"qkv": builder.activation("qkv", 96), "cu_seqlens": "cu_seqlens"}
    rows, buckets = by_distance(9)
    operands["buckets"] = builder.constant("buckets", buckets, DType.I32)
    operands |= {name: builder.normal(name, len(rows), 32) for name in ("position_keys", "position_queries")}
    builder.node("attention", operands, ["y"], num_attention_heads=HEADS, scale=0.25)
    builder.result("y")
    return lower(builder.graph())


@pytest.mark.parametrize("isa", ISAS)
def test_places_in_any_order_meet_rows_that_are_there(isa: str) -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((300, 3 * HEADS * 16))
    distances = _distances(rng, HEADS * 16, 16, 64, "c2p p2c")
    for places in (rng.integers(0, 2**31 - 1, 300), np.zeros(300), np.arange(300)[::-1]):
        places = places.astype(np.int32)
        found = run_attention(rows, (100, 200), isa, "f32", 0.2, distances=distances, places=places)
        expected = expected_attention(rows, (100, 200), 0.2, distances=distances, places=places)
        np.testing.assert_allclose(found, expected, atol=1e-4)
