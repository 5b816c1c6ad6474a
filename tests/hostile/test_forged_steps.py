"""Every operand and attribute of a step is checked where a program is built, whatever else is right.

Each row damages one thing of a step that runs; the error names the step.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from bertc.artifact.executable import Executable, Tensor
from bertc.errors import ArtifactError
from bertc.ir import formulas
from bertc.ir.graph import Attribute, DType
from bertc.lowering.lower import lower
from tests.parity.op_cases import Builder, Shape
from tests.support.native import ISAS, build_program
from tests.support.tiny_graphs import embed

GONE = object()
"""An operand or attribute that is left out."""
COLUMNS, OUT = 20, 24


def _attention(builder: Builder, **attributes: Attribute) -> None:
    """Two heads of 32 columns that share keys and values: slopes, angles of 12 positions, a window."""
    operands = {name: name for name in ("cu_seqlens", "position_ids", "places", "attended")}
    operands["qkv"] = builder.activation("qkv", 128)
    operands["slopes"] = builder.normal("slopes", 2)
    operands["rotary"] = builder.normal("rotary", 12, 32)
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1}
    builder.node("attention", operands, ["y"], **heads, scale=0.2, window=4, **attributes)


def _disentangled(builder: Builder) -> None:
    """Two heads of 16 columns, with 9 rows of either table by distance."""
    operands = {"qkv": builder.activation("qkv", 96), "cu_seqlens": "cu_seqlens", "places": "places"}
    operands["buckets"] = builder.constant("buckets", np.arange(9, dtype=np.int32)[None], DType.I32)
    operands |= {name: builder.normal(name, 9, 32) for name in ("position_keys", "position_queries")}
    builder.node("attention", operands, ["y"], num_attention_heads=2, scale=0.25)


def _norm(builder: Builder) -> None:
    names = ("gamma", "beta", "multiplier", "offset", "first_offset")
    operands = {"x": builder.activation("x", COLUMNS), "cu_seqlens": "cu_seqlens"}
    operands |= {name: builder.normal(name, COLUMNS) for name in names}
    builder.node("layer_norm_quantize", operands, ["y", "q", "s", "z"], epsilon=1e-5, rms=1)


def _mixed(builder: Builder) -> None:
    """Four parts of 16 columns."""
    x = builder.activation("x", 64)
    builder.result(builder.node("quantize_rows", [x], ["q", "s", "z"], hadamard=4)[0])


def _wide(builder: Builder) -> None:
    """Rows that could be mixed, if they were not so wide."""
    x = builder.activation("x", formulas.MOST_MIXED_COLUMNS + 256)
    builder.result(builder.node("quantize_rows", [x], ["q", "s", "z"])[0])


def _gated(builder: Builder) -> None:
    operands = {"x": builder.activation("x", COLUMNS), "weight": builder.normal("weight", 2 * OUT, COLUMNS)}
    operands |= {name: builder.normal(name, 2 * OUT) for name in ("bias", "first_bias")}
    operands["cu_seqlens"] = "cu_seqlens"
    builder.node("linear", operands, ["y"], activation="silu", gated=1)


def _int8(builder: Builder) -> None:
    x = builder.node("quantize_rows", [builder.activation("x", COLUMNS)], ["q", "s", "z"])
    weight, scale = formulas.quantize_per_channel(builder.rng.standard_normal((OUT, COLUMNS)))
    operands = dict(zip(("x", "scale", "zero_point"), x, strict=True))
    operands["weight"] = builder.constant("weight", weight, DType.I8)
    operands["weight_scale"] = builder.constant("weight.scale", scale)
    operands["bias"] = builder.normal("bias", OUT)
    builder.node("linear_int8", operands, ["y"], activation="none", out_dtype="f32")


def _embed(builder: Builder) -> None:
    rows = {"word": 9, "position": 12, "task_type": 3}
    tables = {name: builder.normal(name, count, COLUMNS) for name, count in rows.items()}
    builder.nodes.append(embed("y", first_position=2, **tables))


def _pool(builder: Builder) -> None:
    operands = {"x": builder.activation("x", COLUMNS), "cu_seqlens": "cu_seqlens", "pooled": "pooled"}
    builder.node("pool", operands, ["y"], mode="mean")


@functools.cache
def _lowered(make: Callable[[Builder], None]) -> Executable:
    builder = Builder(Shape((3, 2), COLUMNS, OUT, 2, 0), np.random.default_rng(0))
    make(builder)
    if not builder.outputs:
        builder.result("y")
    return lower(builder.graph())


def _array(*shape: int, dtype: str = "f32") -> Tensor:
    return Tensor(dtype, np.zeros(shape, {"f32": np.float32, "i32": np.int32, "f16": np.float16}[dtype]))


def _forged(lowered: Executable, changes: Mapping[str, Any]) -> Executable:
    """Change the last step: attributes, names of operands, and the tensors of operands."""
    *before, step = lowered.program.steps
    inputs, attributes, tensors = dict(step.inputs), dict(step.attributes), dict(lowered.tensors)
    for name, value in changes.items():
        if isinstance(value, Tensor):
            inputs[name] = "forged"
            tensors["forged"] = value
        elif value is GONE:
            (inputs if name in inputs else attributes).pop(name)
        elif name in attributes or name not in {*inputs, "residual", "word_scale"}:
            attributes[name] = value
        else:
            inputs[name] = value
    step = dataclasses.replace(step, inputs=inputs, attributes=attributes)
    program = dataclasses.replace(lowered.program, steps=(*before, step))
    return dataclasses.replace(lowered, program=program, tensors=tensors)


ANGLES = "must be f32, its rows a multiple of 32, at most a head wide"
EACH_OF_BUCKETS = "with a row for each of buckets, as wide as the output"
CASES: tuple[tuple[Callable[[Builder], None], dict[str, Any], str], ...] = (
    *((_attention, {"window": value}, "'window' must be an integer from 1")
      for value in (0, -1, 2**31, 2**40, True, 4.0, "4")),
    (_attention, {"window": GONE}, "places go with a window or with buckets"),
    (_attention, {"places": "slopes"}, "takes no ids 'slopes'"),
    (_attention, {"attended": "qkv"}, "takes no ids 'qkv'"),
    (_attention, {"position_ids": "cu_seqlens"}, "takes no ids 'cu_seqlens'"),
    (_attention, {"position_ids": GONE}, "rotary and position_ids go together"),
    (_attention, {"rotary": GONE, "rotary_rows": GONE}, "rotary and position_ids go together"),
    *((_attention, {"rotary": _array(*shape, dtype=dtype)}, ANGLES)
      for shape, dtype in (((12, 16), "f32"), ((12, 48), "f32"), ((12, 64), "f32"), ((384,), "f32"),
                           ((12, 2, 32), "f32"), ((12, 32), "i32"))),
    *((_attention, {"rotary_rows": value}, "'rotary_rows'") for value in (0, -1, 13, 2**40, True, 2.0, GONE)),
    *((_attention, {"slopes": value}, "tensor 'forged'")
      for value in (_array(2), _array(32), _array(2, 8), _array(16, dtype="i32"))),
    (_attention, {"distance_bias": _array(2, 32)}, "slopes and distance_bias exclude each other"),
    *((_attention, {"num_key_value_heads": value}, "num_key_value_heads")
      for value in (0, -1, 3, 2**40, True, 1.0)),
    (_attention, {"num_key_value_heads": 2}, "keys and values of their heads"),
    (_attention, {"num_key_value_heads": GONE}, "keys and values of their heads"),
    *((_attention, {"num_attention_heads": value}, "'num_attention_heads'") for value in (0, -2, 2**17)),
    (_attention, {"num_attention_heads": 1}, "keys and values of their heads"),
    (_attention, {"num_attention_heads": 3}, "num_key_value_heads|multiple of 16 for each head"),
    (_attention, {"num_attention_heads": 4}, "keys and values of their heads"),
    *((_attention, {"scale": value}, "'scale' must be") for value in (np.nan, np.inf, 1e300, "1", True)),
    (_attention, {"compute_dtype": "f64"}, "'compute_dtype' must be one of"),
    (_attention, {"buckets": _array(1, 32, dtype="i32")}, "buckets go with position_keys and"),
    *((_disentangled, {"position_queries_rows": value}, "'position_queries_rows'")
      for value in (0, -1, 8, 10, 2**40, GONE)),
    *((_disentangled, {"position_keys": value}, EACH_OF_BUCKETS)
      for value in (_array(32, 32), _array(1, 16, 16, 1), _array(1, 32, 8, 2), _array(2, 31, 16, 1))),
    (_disentangled, {"position_queries": _array(9, 16)}, EACH_OF_BUCKETS),
    (_disentangled, {"position_queries": _array(8, 32)}, EACH_OF_BUCKETS),
    (_disentangled, {"compute_dtype": "bf16"}, "must be bf16 with a row for each of buckets"),
    (_disentangled, {"position_keys": GONE, "position_queries": GONE, "position_queries_rows": GONE},
     "buckets go with position_keys and"),
    *((_disentangled, changes, "buckets go with no distance_bias, slopes, rotary, window or shared heads")
      for changes in ({"window": 4}, {"slopes": _array(16)}, {"distance_bias": _array(2, 32)})),
    (_disentangled, {"buckets": GONE}, "places go with a window or with buckets"),
    *((_norm, {"epsilon": value}, "epsilon") for value in (-1e-5, np.nan, np.inf, "0", True, GONE)),
    *((_norm, {"rms": value}, "'rms' must be an integer from 0 to 1") for value in (-1, 2, True, 1.0, "1")),
    *((_norm, {name: value}, "tensor 'forged'")
      for name in ("gamma", "beta", "multiplier", "offset", "first_offset")
      for value in (_array(16), _array(48), _array(2, 16), _array(32, dtype="i32"))),
    *((_norm, {"hadamard": value}, "its columns have no so many parts to mix") for value in (2, 4, 16)),
    *((_mixed, {"hadamard": value}, "'hadamard' must be an integer from 1 to 16")
      for value in (0, -4, 32, 2**40, True, 4.0, "4")),
    *((_mixed, {"hadamard": value}, "its columns have no so many parts to mix") for value in (3, 8, 12, 16)),
    (_mixed, {"static": Tensor("f32", np.ones(16, np.float32))}, "rows with a static scale are not mixed"),
    *((_wide, {"hadamard": value}, "its columns have no so many parts to mix") for value in (2, 16)),
    (_norm, {"cu_seqlens": GONE}, "cu_seqlens goes with vectors of the first or last token"),
    (_norm, {"first_offset": GONE}, "cu_seqlens goes with vectors of the first or last token"),
    (_norm, {"cu_seqlens": "x"}, "must be cu_seqlens"),
    *((_gated, {"gated": value}, "'gated' must be an integer from 1 to 1") for value in (0, 2, -1, "1")),
    (_gated, {"gated": GONE}, "tensor 'weight' has the wrong shape"),
    *((_gated, {name: value}, "tensor 'forged' has the wrong shape")
      for name in ("bias", "first_bias") for value in (_array(32), _array(48), _array(80))),
    *((_gated, {"weight": _array(*shape)}, "tensor 'forged' has the wrong shape")
      for shape in ((2, 20, 16, 1), (3, 20, 16, 1), (4, 19, 16, 1), (4, 20, 1, 16), (4 * 20 * 16,))),
    (_gated, {"activation": "swish"}, "'activation' must be one of"),
    (_gated, {"residual": "x"}, "a gated layer has no residual"),
    *((_int8, {"weight_bits": value}, "'weight_bits'") for value in (6, 9, True, "8", GONE)),
    *((_int8, {"weight_bound": value}, "'weight_bound' must be one of") for value in ("threes", 2, True)),
    (_int8, {"gated": 1}, "tensor 'weight' has the wrong shape"),
    (_int8, {"column_sum": _array(32)}, "tensor 'forged' must be i32"),
    (_int8, {"column_sum": _array(16, dtype="i32")}, "tensor 'forged' has the wrong shape"),
    (_int8, {"column_scale": _array(16)}, "tensor 'forged' has the wrong shape"),
    (_int8, {"scale": "z"}, "'z' must be f32"),
    *((_embed, {"first_position": value}, "'first_position'") for value in (-1, 12, 2**31, True, 1.0)),
    *((_embed, {f"{table}_rows": value}, f"'{table}_rows'")
      for table in ("word", "position", "task_type") for value in (0, -1, 13, 2**40, GONE)),
    *((_embed, {"position": value}, "tensor 'forged'")
      for value in (_array(12, 16), _array(12, 48), _array(384), _array(12, 32, dtype="i32"))),
    (_embed, {"word_scale": _array(16)}, "8-bit rows, and only they, need a scale"),
    (_embed, {"position_ids": "pooled"}, "takes no ids 'pooled'"),
    (_pool, {"mode": "median"}, "'mode' must be one of"),
    (_pool, {"pooled": "x"}, "takes no ids 'x'"),
)  # fmt: skip


@pytest.mark.parametrize(("make", "changes", "message"), CASES)
def test_a_forged_step_is_refused_by_name(
    make: Callable[[Builder], None], changes: dict[str, Any], message: str
) -> None:
    lowered = _lowered(make)
    step = lowered.program.steps[-1].name
    with pytest.raises(ArtifactError, match=rf"step '{step}' \(\w+\): .*({message})"):
        build_program(_forged(lowered, changes), ISAS[0])


@pytest.mark.parametrize("make", dict.fromkeys(make for make, *_ in CASES))
def test_the_step_is_taken_as_it_was(make: Callable[[Builder], None]) -> None:
    build_program(_lowered(make), ISAS[0])
