"""Results in 8 bits by a scale that rows share, and layers that read them: exact, clipped, checked."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertc.artifact.executable import Executable, Tensor
from bertc.errors import ArtifactError
from bertc.ir import formulas, reference
from bertc.ir.graph import DType, Node
from bertc.lowering.lower import lower
from tests.parity.op_cases import ACTIVATIONS, CASES, Builder, Shape
from tests.support.native import ISAS, build_program, run_native, run_program

Array = np.ndarray[Any, Any]

ROUNDINGS = 2e-6


def _inputs(*lengths: int) -> dict[str, Array]:
    bounds = np.cumsum((0, *lengths)).astype(np.int32)
    tokens = int(bounds[-1])
    return {
        "input_ids": np.arange(tokens, dtype=np.int32),
        "position_ids": np.zeros(tokens, np.int32),
        "cu_seqlens": bounds,
    }


def _product(builder: Builder, operands: list[str], output: str, **attributes: str) -> str:
    """A linear_int8 of drawn weights; the last of ``operands`` may be its static scale."""
    x, scale, zero_point, *static = operands
    shape = builder.shape
    weight = builder.rng.integers(-127, 127, (shape.out, shape.columns), endpoint=True).astype(np.int8)
    inputs = [x, scale, zero_point, builder.constant(f"{output}.weight", weight, DType.I8)]
    inputs += [
        builder.normal(f"{output}.weight.scale", shape.out),
        builder.normal(f"{output}.bias", shape.out),
    ]
    attributes = {"activation": "none", "out_dtype": "u8" if static else "f32", **attributes}
    return builder.node("linear_int8", [*inputs, "", *static], [output], **attributes)[0]


def _requantize(builder: Builder) -> str:
    """A product of 8-bit rows whose result is in 8 bits of a static scale: value "y"."""
    x = builder.activation("x", builder.shape.columns)
    quantized = builder.node("quantize_rows", [x], ["x.q", "x.scale", "x.zero_point"])
    static = builder.constant("static", np.array([0.5, 100], np.float32))
    return _product(builder, [*quantized, static], "y")


def _integers(lowered: Executable, value: str) -> Executable:
    """With a buffer of integers the kernel stores its sums."""
    buffers = tuple(
        dataclasses.replace(buffer, dtype="i32") if buffer.name == value else buffer
        for buffer in lowered.program.buffers
    )
    return dataclasses.replace(lowered, program=dataclasses.replace(lowered.program, buffers=buffers))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("places", [("first",), ("last",), ("first", "last")])
@pytest.mark.parametrize("activation", ["none", "gelu"])
def test_tokens_at_places_are_shifted_before_a_result_is_stored_in_8_bits(
    activation: str, places: tuple[str, ...], isa: str
) -> None:
    """Sequences of one, of two, and longer than a tile of rows; the bias of the place as well."""
    lengths = (1, 2, 40, 1, 3, 17)
    builder = Builder(Shape(lengths, 70, 50, 1, 0), np.random.default_rng(1))
    x = builder.activation("x", 70, spread=0.5)
    quantized = builder.node("quantize_rows", [x], ["x.q", "x.scale", "x.zero_point"])
    _product(builder, quantized, "y", activation=activation)
    node = builder.nodes[-1].with_inputs(
        cu_seqlens="cu_seqlens", **{f"{place}_bias": builder.normal(f"bias.{place}", 50) for place in places}
    )
    builder.nodes[-1] = node
    builder.result("y")
    static = np.array([0.5, 100], np.float32)
    rounded = dataclasses.replace(node, name="rounded", outputs=("rounded",)).with_attributes(out_dtype="u8")
    offsets = {place: 9 * builder.rng.standard_normal(50).astype(np.float32) for place in places}
    builder.nodes.append(
        rounded.with_inputs(
            static=builder.constant("static", static),
            **{f"{p}_offset": builder.constant(f"offset.{p}", array) for p, array in offsets.items()},
        )
    )
    builder.result("rounded")
    inputs = _inputs(*lengths)
    found = run_native(builder.graph(), inputs, isa)
    names = {f"{place}_offset": array for place, array in offsets.items()}
    shifted = reference.channel_affine(found["y"], **names, cu_seqlens=inputs["cu_seqlens"])
    expected, *_ = formulas.quantize_static(shifted, float(static[0]), int(static[1]))
    np.testing.assert_array_equal(found["rounded"], expected)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    tokens=st.integers(1, 60),
    columns=st.integers(1, 300),
    out=st.integers(1, 90),
    zero_point=st.integers(0, 255),
    seed=st.integers(0, 2**16),
)
def test_a_layer_reads_rows_that_share_scale_and_zero_point(
    tokens: int, columns: int, out: int, zero_point: int, seed: int
) -> None:
    builder = Builder(Shape((tokens,), columns, out, 1, 0), np.random.default_rng(seed))
    x = builder.activation("x", columns, spread=0.5)
    static = builder.constant("static", np.array([0.02, zero_point], np.float32))
    builder.node("quantize_rows", [x, "", "", static], ["q", "q.scale", "q.zero_point"])
    operands = [
        "q",
        builder.constant("scale", np.array([0.02], np.float32)),
        builder.constant("zero_point", np.array([zero_point], np.int32), DType.I32),
    ]
    builder.result("q", _product(builder, operands, "y"), _product(builder, operands, "sums"))
    lowered = _integers(lower(builder.graph()), "sums")
    constants = {name: constant.array for name, constant in builder.constants.items()}
    for isa in ISAS:
        found = run_program(build_program(lowered, isa), _inputs(tokens))
        sums = reference.linear_int8_accumulate(found["q"], constants["zero_point"], constants["sums.weight"])
        np.testing.assert_array_equal(found["sums"], sums, err_msg=isa)
        node = next(node for node in builder.nodes if node.outputs == ("y",))
        floats = reference.linear_int8(
            found["q"],
            **{operand: constants[name] for operand, name in node.inputs.items() if operand != "x"},
            **node.attributes,
        )
        largest = np.abs(floats).max(axis=1, keepdims=True)
        assert (np.abs(found["y"] - floats) <= ROUNDINGS * np.maximum(largest, 1)).all(), isa


def _assert_rounded(builder: Builder, node: Node, isa: str, lengths: tuple[int, ...]) -> None:
    """A node's result in 8 bits is that in floats, quantized."""
    static = np.array([0.05, 90], np.float32)
    rounded = dataclasses.replace(node, name="rounded", outputs=("rounded",))
    rounded = rounded.with_inputs(static=builder.constant("static", static))
    builder.nodes.append(rounded.with_attributes(out_dtype="u8"))
    builder.result("rounded")
    found = run_native(builder.graph(), _inputs(*lengths), isa)
    expected, *_ = formulas.quantize_static(found[node.outputs[0]], float(static[0]), int(static[1]))
    assert len(np.unique(expected)) > 20
    np.testing.assert_array_equal(found["rounded"], expected)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("with_residual", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_results_of_layers_in_8_bits_are_the_float_results_quantized(
    activation: str, with_residual: bool, isa: str
) -> None:
    choice = ACTIVATIONS.index(activation)
    shape = Shape((5, 34), 70, 100, 1, choice + len(ACTIVATIONS) * (choice % 2 != with_residual))
    builder = Builder(shape, np.random.default_rng(1))
    CASES["linear_int8"](builder)
    nodes = [node for node in builder.nodes if node.op == "linear_int8" and node.outputs != ("factors",)]
    node = next(node for node in reversed(nodes) if bool(node["residual"]) == with_residual)
    assert node.attributes["activation"] == activation
    _assert_rounded(builder, node, isa, shape.lengths)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("compute_dtype", ["f32", "bf16", "int8"])
def test_attention_in_8_bits_is_attention_in_floats_quantized(compute_dtype: str, isa: str) -> None:
    shape = Shape((1, 5, 70), 64, 48, 3, 1)
    builder = Builder(shape, np.random.default_rng(2))
    CASES["attention"](builder)
    node = builder.nodes[-1]
    builder.nodes[-1] = node.with_attributes(compute_dtype=compute_dtype)
    _assert_rounded(builder, builder.nodes[-1], isa, shape.lengths)


@pytest.mark.parametrize("isa", ISAS)
def test_numbers_far_outside_the_range_are_clipped(isa: str) -> None:
    bias = np.array(
        [-np.inf, -1e30, -1e10, -300, -0.51, 0, 0.5, 254.4, 255.6, 1e10, 1e30, np.inf], np.float32
    )
    builder = Builder(Shape((3,), 20, len(bias), 1, 0), np.random.default_rng(0))
    builder.result(_requantize(builder))
    builder.constant("static", np.array([1, 0], np.float32))
    builder.constant("y.weight.scale", np.zeros_like(bias))
    builder.constant("y.bias", bias)
    found = run_native(builder.graph(), _inputs(3), isa)["y"]
    np.testing.assert_array_equal(found, [[0, 0, 0, 0, 0, 0, 0, 254, 255, 255, 255, 255]] * 3)


def _lowered() -> Executable:
    builder = Builder(Shape((3,), 20, 30, 1, 0), np.random.default_rng(0))
    builder.result(_requantize(builder))
    return lower(builder.graph())


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(
    ("static", "message"),
    [
        *(([scale, 3], "static scale must be above 0") for scale in (0, -1, np.nan, np.inf, 1e-45)),
        *(([1, zero_point], "from 0 to 255") for zero_point in (-1, 256, 0.5, np.nan, np.inf)),
    ],
)
def test_bad_static_scales_are_refused(static: list[float], message: str, isa: str) -> None:
    lowered = _lowered()
    numbers = np.zeros(16, np.float32)
    numbers[:2] = static
    tensors = {**lowered.tensors, "static": Tensor("f32", numbers)}
    with pytest.raises(ArtifactError, match=f"node.y.*{message}"):
        build_program(dataclasses.replace(lowered, tensors=tensors), isa)


@pytest.mark.parametrize(
    ("without", "dtype", "message"),
    [
        ("static", "u8", "a u8 output goes with a static scale"),
        ("", "f32", "a u8 output goes with a static scale"),
        ("scale", "u8", "scale and zero point go together"),
        ("zero_point", "u8", "scale and zero point go together"),
    ],
)
def test_operands_that_do_not_go_together_are_refused(without: str, dtype: str, message: str) -> None:
    lowered = _lowered()
    program = lowered.program
    *steps, last = program.steps
    changed = {operand: name for operand, name in last.inputs.items() if operand != without}
    buffers = tuple(
        dataclasses.replace(buffer, dtype=dtype) if buffer.name == "y" else buffer
        for buffer in program.buffers
    )
    steps.append(dataclasses.replace(last, inputs=changed))
    slots = tuple(4 * slot for slot in program.slots)
    program = dataclasses.replace(program, steps=tuple(steps), buffers=buffers, slots=slots)
    with pytest.raises(ArtifactError, match=message):
        build_program(dataclasses.replace(lowered, program=program), ISAS[0])
