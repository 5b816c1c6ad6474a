"""Every native op against its NumPy twin, over random shapes, on every instruction set."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertc import _native
from bertc.errors import InputError
from bertc.ir import formulas, interpreter, reference
from bertc.ir.graph import Graph
from bertc.ir.ops import OPS
from bertc.lowering.lower import lower
from bertc.ports import HOST
from tests.parity.op_cases import CASES, Builder, Shape
from tests.support.native import ISAS, build_program, run_native, run_program
from tests.support.tiny_graphs import embed

Array = np.ndarray[Any, Any]

shapes = st.builds(
    Shape,
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=4).map(tuple),
    columns=st.integers(1, 150),
    out=st.integers(1, 90),
    heads=st.integers(1, 4),
    choice=st.integers(0, 29),
    parts=st.sampled_from(formulas.HADAMARD_ORDERS),
)


def _flags(shape: Shape, rng: np.random.Generator) -> Array:
    """Ones and then zeros in each sequence, the last of which has zeros alone."""
    ones = [int(rng.integers(0, length + 1)) for length in shape.lengths[:-1]] + [0]
    return np.concatenate(
        [np.arange(length) < count for length, count in zip(shape.lengths, ones, strict=True)]
    ).astype(np.int32)


def _inputs(shape: Shape, rng: np.random.Generator) -> dict[str, Array]:
    inputs = {
        "input_ids": np.arange(shape.tokens, dtype=np.int32),
        "token_type_ids": rng.integers(0, 2, shape.tokens).astype(np.int32),
        "position_ids": rng.integers(0, 512, shape.tokens).astype(np.int32),
        "task_type_ids": rng.integers(0, 3, shape.tokens).astype(np.int32),
        "attended": _flags(shape, rng),
        "pooled": 1 - _flags(shape, rng),
        "places": np.cumsum(rng.integers(1, 5, shape.tokens)).astype(np.int32),
        "selected": np.flatnonzero(rng.integers(0, 2, shape.tokens)).astype(np.int32),
        "cu_seqlens": np.cumsum((0, *shape.lengths)).astype(np.int32),
    }
    # Callers may leave out what has a default.
    left_out = {
        "token_type_ids": shape.out % 2,
        "position_ids": shape.out // 2 % 2,
        "task_type_ids": shape.out // 4 % 2,
        "attended": shape.out // 8 % 2,
        "pooled": shape.out // 16 % 2,
        "places": shape.out // 32 % 2,
    }
    return {name: array for name, array in inputs.items() if not left_out.get(name)}


def test_native_table_and_ir_table_name_the_same_ops() -> None:
    with_kernel = {name for name, op in OPS.items() if "typed" in op.stages and name != HOST}
    assert set(_native.op_names()) == with_kernel


def test_every_native_op_has_a_parity_case() -> None:
    assert set(CASES) == set(_native.op_names())


# Sums of n products in another order differ by some roundings of their largest terms. Where an op
# rounds to fewer bits, a value on the edge may fall to the other side: one step of bf16 or 8 bits.
TOLERANCE = {"attention": 1e-2, "layer_norm_bf16": 4e-3, "layer_norm_quantize": 4e-3}
ROUNDINGS = 2e-6


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("op", sorted(CASES))
@settings(max_examples=50, deadline=None, derandomize=True)
@given(shape=shapes, seed=st.integers(0, 2**16), threads=st.integers(1, 2))
def test_native_op_agrees_with_its_numpy_twin(
    op: str, isa: str, shape: Shape, seed: int, threads: int
) -> None:
    rng = np.random.default_rng(seed)
    builder = Builder(shape, rng)
    CASES[op](builder)
    graph, inputs = builder.graph(), _inputs(shape, rng)
    expected = interpreter.run(graph, inputs)
    found = run_native(graph, inputs, isa, threads=threads)
    for name, array in expected.items():
        if array.dtype != np.float32:
            steps = np.abs(found[name].astype(np.int32) - array.astype(np.int32))
            assert steps.max() <= (1 if op in TOLERANCE else 0), name
            continue
        largest = np.abs(array).max(axis=1, keepdims=True)
        tolerance = TOLERANCE.get(op, ROUNDINGS) * (np.maximum(largest, 1) + _largest_terms(graph))
        if name == "gated":  # a product, in which each factor multiplies the other's error
            tolerance = 2 * tolerance * np.abs(expected["factors"]).max(axis=1, keepdims=True, initial=1)
        assert (np.abs(found[name] - array) <= tolerance).all(), name
    if op == "layer_norm_quantize":
        np.testing.assert_array_equal(found["q"], _quantized(graph, inputs, found["y"]))


def _quantized(graph: Graph, inputs: dict[str, Array], y: Array) -> Array:
    """What a layer norm gives beside its plain result ``y``, by the reference, whose bits it must have."""
    node = next(node for node in graph.nodes if node.op == "layer_norm_quantize")
    given = {**inputs, **{name: constant.array for name, constant in graph.constants.items()}}
    rounding = {k: given[value] for k, value in node.inputs.items() if k not in ("x", "gamma", "beta")}
    numbers, *_ = reference.quantize_rows(y, **rounding, hadamard=node.attributes.get("hadamard", 1))
    return numbers


def _largest_terms(graph: Graph) -> float:
    """Where the terms of a product cancel, its rounding error is that of the terms, not of the sum."""
    rows = [constant.array for name, constant in graph.constants.items() if name.endswith(".rows")]
    return max((float(np.linalg.norm(array, axis=1).max()) for array in rows), default=1.0)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("op", ["linear_bf16", "linear_int8", "attention"])
def test_bf16_results_are_the_float32_results_rounded(op: str, isa: str) -> None:
    shape = Shape((5, 19), 64, 48, 4, 0)
    builder = Builder(shape, np.random.default_rng(0))
    CASES[op](builder)
    node = builder.nodes[-1]
    rounded = dataclasses.replace(node, name="rounded", outputs=("rounded",))
    builder.nodes.append(rounded.with_attributes(out_dtype="bf16"))
    builder.result("rounded")
    found = run_native(builder.graph(), _inputs(shape, np.random.default_rng(0)), isa)
    expected = formulas.round_to_bf16(found[node.outputs[0]]).view(np.uint32) >> 16
    np.testing.assert_array_equal(found["rounded"], expected.astype(np.uint16))


def test_a_sequence_whose_positions_are_counted_must_end_within_the_table() -> None:
    builder = Builder(Shape((7, 3), 20, 1, 1, 0), np.random.default_rng(0))
    tables = {"position": builder.normal("positions", 10, 20), "word": builder.normal("words", 10, 20)}
    builder.nodes.append(embed("y", first_position=3, **tables))
    builder.result("y")
    program = build_program(lower(builder.graph()), ISAS[0])
    ids = np.zeros(10, np.int32)
    fits = {"input_ids": ids, "cu_seqlens": np.array([0, 7, 10], np.int32)}
    expected = interpreter.run(builder.graph(), fits)["y"]
    np.testing.assert_array_equal(run_program(program, fits)["y"], expected)
    longer = {"input_ids": ids, "cu_seqlens": np.array([0, 8, 10], np.int32)}
    with pytest.raises(InputError, match="sequence 0 has 8 tokens, but the model has positions for 7"):
        run_program(program, longer)
    positions = np.full(10, 9, np.int32)
    assert run_program(program, {**longer, "position_ids": positions})["y"].shape == (10, 20)
