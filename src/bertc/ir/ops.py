"""THE op table: for each op its inputs, outputs, attributes, legal stages, shape rule, reference.

A row here, a kernel in ``native/src/ops`` and a row in ``native/src/ops/ops.inc`` make an op. Ops
that only front ends emit (stage "imported") have no kernel: the passes fuse them away. So does
``channel_affine`` (stage "fused"): it becomes part of what writes its result in 8 bits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bertc.errors import GraphError
from bertc.ir import formulas, reference
from bertc.ir.graph import (
    SEQUENCES,
    SEQUENCES_PLUS_ONE,
    TOKENS,
    Attribute,
    Dimension,
    DType,
    TensorType,
)

Types = Sequence[TensorType | None]
Rule = Callable[[Types, Mapping[str, Attribute]], tuple[TensorType, ...]]

ACTIVATIONS = ("none", "gelu", "gelu_tanh", "relu", "tanh")
POOLING_MODES = ("cls", "mean", "max")
TABLE_DTYPES = (DType.F32, DType.F16, DType.I8)


@dataclass(frozen=True)
class Op:
    """One row of the table.

    A name in ``inputs`` that ends in ``?`` is optional; a node may leave out the last ones.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    stages: frozenset[str]
    rule: Rule
    reference: Callable[..., Any]
    attributes: Mapping[str, type | tuple[str, ...]] = field(default_factory=dict)
    """Attribute name -> its type, or the strings it may be."""


def _fail(message: str) -> None:
    raise GraphError(message)


def _typed(value: TensorType | None, dtypes: tuple[DType, ...], rank: int, name: str) -> TensorType:
    if value is None:
        raise GraphError(f"input {name!r} is missing")
    if value.dtype not in dtypes or len(value.shape) != rank:
        wanted = " or ".join(dtype.value for dtype in dtypes)
        _fail(f"input {name!r} is {value}, expected {wanted} of rank {rank}")
    return value


def _same(found: Dimension, expected: Dimension, what: str) -> None:
    if found != expected:
        _fail(f"{what} is {found}, expected {expected}")


def _rows(value: TensorType | None, name: str, *dtypes: DType) -> TensorType:
    typed = _typed(value, dtypes or (DType.F32,), 2, name)
    if typed.shape[0] not in (TOKENS, SEQUENCES):
        _fail(f"input {name!r} has {typed.shape[0]} rows, expected tokens or sequences")
    return typed


def _width(value: TensorType) -> int:
    width = value.shape[-1]
    if not isinstance(width, int):
        raise GraphError(f"the last dimension of {value} must be a number")
    return width


def _elementwise(types: Types, _: Mapping[str, Attribute]) -> tuple[TensorType, ...]:
    return (_rows(types[0], "x"),)


def _add(types: Types, _: Mapping[str, Attribute]) -> tuple[TensorType, ...]:
    a, b = _rows(types[0], "a"), _rows(types[1], "b")
    if a != b:
        _fail(f"operands differ: {a} and {b}")
    return (a,)


def _ids(value: TensorType | None, name: str) -> None:
    typed = _typed(value, (DType.I32,), 1, name)
    _same(typed.shape[0], TOKENS, f"length of {name}")


def _embedding(types: Types, _: Mapping[str, Attribute]) -> tuple[TensorType, ...]:
    _ids(types[0], "ids")
    table = _typed(types[1], TABLE_DTYPES, 2, "table")
    return (TensorType(DType.F32, (TOKENS, _width(table))),)


def _embed(types: Types, _: Mapping[str, Attribute]) -> tuple[TensorType, ...]:
    for value, name in zip(types[:3], ("input_ids", "token_type_ids", "position_ids"), strict=True):
        _ids(value, name)
    word = _typed(types[3], TABLE_DTYPES, 2, "word")
    if (word.dtype == DType.I8) != (types[4] is not None):
        _fail("input 'word_scale' goes with 8-bit word rows, and only with them")
    if types[4] is not None:
        scale = _typed(types[4], (DType.F32,), 1, "word_scale")
        _same(scale.shape[0], word.shape[0], "length of word_scale")
    for value, name in ((types[5], "position"), (types[6], "token_type")):
        table = _typed(value, (DType.F32, DType.F16), 2, name)
        _same(table.shape[1], word.shape[1], f"width of {name}")
    return (TensorType(DType.F32, (TOKENS, _width(word))),)


def _layer_norm(types: Types, _: Mapping[str, Attribute]) -> tuple[TensorType, ...]:
    x = _rows(types[0], "x")
    for value, name in ((types[1], "gamma"), (types[2], "beta")):
        _same(_typed(value, (DType.F32,), 1, name).shape[0], x.shape[1], f"length of {name}")
    return (x,)


def _quantized(x: TensorType) -> tuple[TensorType, ...]:
    rows = x.shape[:1]
    return (
        TensorType(DType.U8, x.shape),
        TensorType(DType.F32, rows),
        TensorType(DType.I32, rows),
    )


def _channel_affine(types: Types, _: Mapping[str, Attribute]) -> tuple[TensorType, ...]:
    x = _rows(types[0], "x")
    for value, name in zip(types[1:], ("multiplier", "offset"), strict=True):
        _same(_typed(value, (DType.F32,), 1, name).shape[0], x.shape[1], f"length of {name}")
    return (x,)


def _check_quantization(x: TensorType, how: Types, attributes: Mapping[str, Attribute]) -> None:
    multiplier, offset, static = how
    if multiplier is not None or offset is not None:
        _channel_affine((x, multiplier, offset), attributes)
    _check_static(static)


def _check_static(static: TensorType | None) -> None:
    if static is not None:
        _same(_typed(static, (DType.F32,), 1, "static").shape[0], 2, "length of static")


def _written(out: TensorType, static: TensorType | None, attributes: Mapping[str, Attribute]) -> TensorType:
    """What an op writes that can write 8 bits by a static scale."""
    dtype = DType(attributes["out_dtype"])
    _check_static(static)
    if (dtype == DType.U8) != (static is not None):
        _fail("input 'static' goes with out_dtype 'u8', and only with it")
    return TensorType(dtype, out.shape)


def _layer_norm_quantize(types: Types, attributes: Mapping[str, Attribute]) -> tuple[TensorType, ...]:
    (x,) = _layer_norm(types[:3], attributes)
    _check_quantization(x, types[3:], attributes)
    return (x, *_quantized(x))


def _layer_norm_bf16(types: Types, attributes: Mapping[str, Attribute]) -> tuple[TensorType, ...]:
    (x,) = _layer_norm(types, attributes)
    return (x, TensorType(DType.BF16, x.shape))


def _quantize_rows(types: Types, attributes: Mapping[str, Attribute]) -> tuple[TensorType, ...]:
    x = _rows(types[0], "x")
    _check_quantization(x, types[1:], attributes)
    return _quantized(x)


def _cast_bf16(types: Types, _: Mapping[str, Attribute]) -> tuple[TensorType, ...]:
    return (TensorType(DType.BF16, _rows(types[0], "x").shape),)


def _matmul(
    x: TensorType, weight: TensorType, bias: TensorType | None, residual: TensorType | None
) -> TensorType:
    _same(weight.shape[1], x.shape[1], "input width of weight")
    _same(_typed(bias, (DType.F32,), 1, "bias").shape[0], weight.shape[0], "length of bias")
    out = TensorType(DType.F32, (x.shape[0], _width(TensorType(DType.F32, weight.shape[:1]))))
    if residual is not None and residual != out:
        _fail(f"input 'residual' is {residual}, expected {out}")
    return out


def _linear(types: Types, _: Mapping[str, Attribute]) -> tuple[TensorType, ...]:
    x = _rows(types[0], "x")
    weight = _typed(types[1], (DType.F32,), 2, "weight")
    return (_matmul(x, weight, types[2], types[3]),)


def _linear_bf16(types: Types, attributes: Mapping[str, Attribute]) -> tuple[TensorType, ...]:
    x = _rows(types[0], "x", DType.BF16)
    weight = _typed(types[1], (DType.BF16,), 2, "weight")
    out = _matmul(x, weight, types[2], types[3])
    return (TensorType(DType(attributes["out_dtype"]), out.shape),)


def _linear_int8(types: Types, attributes: Mapping[str, Attribute]) -> tuple[TensorType, ...]:
    x = _rows(types[0], "x", DType.U8)
    length = _typed(types[1], (DType.F32,), 1, "scale").shape[0]
    _same(length, 1 if length == 1 else x.shape[0], "length of scale")
    _same(_typed(types[2], (DType.I32,), 1, "zero_point").shape[0], length, "length of zero_point")
    weight = _typed(types[3], (DType.I8,), 2, "weight")
    scale = _typed(types[4], (DType.F32,), 1, "weight_scale")
    _same(scale.shape[0], weight.shape[0], "length of weight_scale")
    return (_written(_matmul(x, weight, types[5], types[6]), types[7], attributes),)


def _cu_seqlens(value: TensorType | None) -> None:
    typed = _typed(value, (DType.I32,), 1, "cu_seqlens")
    _same(typed.shape[0], SEQUENCES_PLUS_ONE, "length of cu_seqlens")


def _heads(width: int, attributes: Mapping[str, Attribute]) -> None:
    heads = int(attributes["num_attention_heads"])
    if heads < 1 or width % heads:
        _fail(f"{width} columns do not divide into {heads} attention heads")


def _attention(types: Types, attributes: Mapping[str, Attribute]) -> tuple[TensorType, ...]:
    query, key, value = (_rows(t, n) for t, n in zip(types[:3], ("query", "key", "value"), strict=True))
    if not query == key == value:
        _fail(f"query, key and value differ: {query}, {key}, {value}")
    _same(query.shape[0], TOKENS, "rows of query")
    _cu_seqlens(types[3])
    _heads(_width(query), attributes)
    return (query,)


def _attention_qkv(types: Types, attributes: Mapping[str, Attribute]) -> tuple[TensorType, ...]:
    qkv = _rows(types[0], "qkv", DType.F32, DType.BF16)
    _same(qkv.shape[0], TOKENS, "rows of qkv")
    _cu_seqlens(types[1])
    width = _width(qkv)
    if width % 3:
        _fail(f"qkv has {width} columns, expected a multiple of 3")
    _heads(width // 3, attributes)
    return (_written(TensorType(DType.F32, (TOKENS, width // 3)), types[2], attributes),)


def _pool(types: Types, _: Mapping[str, Attribute]) -> tuple[TensorType, ...]:
    x = _rows(types[0], "x")
    _same(x.shape[0], TOKENS, "rows of x")
    _cu_seqlens(types[1])
    return (TensorType(DType.F32, (SEQUENCES, x.shape[1])),)


_IMPORTED = frozenset({"imported"})
_TYPED = frozenset({"typed"})
_FUSED = frozenset({"fused", "typed"})
_ANY = frozenset({"imported", "fused", "typed"})
_BEFORE_TYPES = frozenset({"fused"})
_NORM = ("x", "gamma", "beta")
_HOW = ("multiplier?", "offset?", "static?")
_Q = ("q", "scale", "zero_point")
_FLOATS = ("f32", "bf16")
_WRITTEN = (*_FLOATS, "u8")
_LINEAR = {"activation": ACTIVATIONS}
_HEADS: dict[str, type | tuple[str, ...]] = {"num_attention_heads": int, "scale": float}
_QKV = {**_HEADS, "compute_dtype": (*_FLOATS, "int8"), "out_dtype": _WRITTEN}
_EMBED = ("input_ids", "token_type_ids", "position_ids", "word", "word_scale?", "position", "token_type")
_INT8 = ("x", "scale", "zero_point", "weight", "weight_scale", "bias", "residual?", "static?")
_ROW = ("x", "weight", "bias", "residual?")

OPS: Mapping[str, Op] = {
    op.name: op
    for op in (
        Op("embedding", ("ids", "table"), ("y",), _IMPORTED, _embedding, reference.embedding),
        Op("add", ("a", "b"), ("y",), _IMPORTED, _add, reference.add),
        Op("gelu", ("x",), ("y",), _IMPORTED, _elementwise, reference.gelu),
        Op("gelu_tanh", ("x",), ("y",), _IMPORTED, _elementwise, reference.gelu_tanh),
        Op("relu", ("x",), ("y",), _IMPORTED, _elementwise, reference.relu),
        Op("tanh", ("x",), ("y",), _IMPORTED, _elementwise, reference.tanh),
        Op(
            "attention",
            ("query", "key", "value", "cu_seqlens"),
            ("y",),
            _IMPORTED,
            _attention,
            reference.attention,
            _HEADS,
        ),
        Op("embed", _EMBED, ("y",), _FUSED, _embed, reference.embed),
        Op("layer_norm", _NORM, ("y",), _ANY, _layer_norm, reference.layer_norm, {"epsilon": float}),
        Op("linear", _ROW, ("y",), _ANY, _linear, reference.linear, _LINEAR),
        Op(
            "attention_qkv",
            ("qkv", "cu_seqlens", "static?"),
            ("y",),
            _FUSED,
            _attention_qkv,
            reference.attention_qkv,
            _QKV,
        ),
        Op(
            "channel_affine",
            ("x", "multiplier", "offset"),
            ("y",),
            _BEFORE_TYPES,
            _channel_affine,
            reference.channel_affine,
        ),
        Op(
            "layer_norm_quantize",
            (*_NORM, *_HOW),
            ("y", *_Q),
            _TYPED,
            _layer_norm_quantize,
            reference.layer_norm_quantize,
            {"epsilon": float},
        ),
        Op(
            "layer_norm_bf16",
            _NORM,
            ("y", "y_bf16"),
            _TYPED,
            _layer_norm_bf16,
            reference.layer_norm_bf16,
            {"epsilon": float},
        ),
        Op("quantize_rows", ("x", *_HOW), _Q, _TYPED, _quantize_rows, reference.quantize_rows),
        Op("cast_bf16", ("x",), ("y",), _TYPED, _cast_bf16, formulas.round_to_bf16),
        Op(
            "linear_bf16",
            _ROW,
            ("y",),
            _TYPED,
            _linear_bf16,
            reference.linear_bf16,
            {"activation": ACTIVATIONS, "out_dtype": _FLOATS},
        ),
        Op(
            "linear_int8",
            _INT8,
            ("y",),
            _TYPED,
            _linear_int8,
            reference.linear_int8,
            {"activation": ACTIVATIONS, "out_dtype": _WRITTEN},
        ),
        Op("pool", ("x", "cu_seqlens"), ("y",), _ANY, _pool, reference.pool, {"mode": POOLING_MODES}),
        Op("normalize", ("x",), ("y",), _ANY, _elementwise, reference.normalize),
    )
}
"""Op name -> its row."""
