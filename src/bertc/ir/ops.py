"""THE op table: for each op its operands, outputs, attributes, legal stages, shape rule, reference.

A row here, a kernel in ``native/src/ops`` and a row in ``native/src/ops/ops.inc`` make an op. Ops
that only front ends emit (stage "imported") have no kernel: the passes fuse them away. So does
``channel_affine`` (stage "fused"): it becomes part of what writes its result in 8 bits.
"""

from __future__ import annotations

from collections.abc import Mapping

from bertc.ir import formulas, reference, rules
from bertc.ir.op import Op, Operand

ACTIVATIONS = ("none", "gelu", "gelu_tanh", "relu", "tanh")
POOLING_MODES = ("cls", "mean", "max")

_IMPORTED = frozenset({"imported"})
_TYPED = frozenset({"typed"})
_FUSED = frozenset({"fused", "typed"})
_ANY = frozenset({"imported", "fused", "typed"})
_BEFORE_TYPES = frozenset({"fused"})

_X = (Operand("x"),)
_CU_SEQLENS = Operand("cu_seqlens")
_STATIC = Operand("static", "vector", optional=True)
_NORM = (*_X, Operand("gamma", "vector"), Operand("beta", "vector"))
_VECTORS = tuple(Operand(name, "vector", optional=True) for name in ("multiplier", "offset"))
_ROUNDING = (*_VECTORS, _STATIC)
_EPILOGUE = (Operand("bias", "vector"), Operand("residual", optional=True))
_LINEAR = (*_X, Operand("weight", "weight"), *_EPILOGUE)
_INT8 = (*_X, *map(Operand, ("scale", "zero_point")), Operand("weight", "weight"), Operand("weight_scale"))
_IDS = tuple(map(Operand, ("input_ids", "token_type_ids", "position_ids")))
_TABLES = (
    Operand("word", "table"),
    Operand("word_scale", "vector", optional=True),
    Operand("position", "table"),
    Operand("token_type", "table"),
)

_Q = ("q", "scale", "zero_point")
_FLOATS = ("f32", "bf16")
_STORED = (*_FLOATS, "u8")
_EPSILON = {"epsilon": float}
_ACTIVATION = {"activation": ACTIVATIONS}
_HEADS: dict[str, type | tuple[str, ...]] = {"num_attention_heads": int, "scale": float}
_QKV = {**_HEADS, "compute_dtype": (*_FLOATS, "int8"), "out_dtype": _STORED}

OPS: Mapping[str, Op] = {
    op.name: op
    for op in (
        Op(
            "embedding",
            (Operand("ids"), Operand("table")),
            ("y",),
            _IMPORTED,
            rules.embedding,
            reference.embedding,
        ),
        Op("add", (Operand("a"), Operand("b")), ("y",), _IMPORTED, rules.add, reference.add),
        Op("gelu", _X, ("y",), _IMPORTED, rules.elementwise, reference.gelu),
        Op("gelu_tanh", _X, ("y",), _IMPORTED, rules.elementwise, reference.gelu_tanh),
        Op("relu", _X, ("y",), _IMPORTED, rules.elementwise, reference.relu),
        Op("tanh", _X, ("y",), _IMPORTED, rules.elementwise, reference.tanh),
        Op(
            "attention",
            (Operand("query"), Operand("key"), Operand("value"), _CU_SEQLENS),
            ("y",),
            _IMPORTED,
            rules.attention,
            reference.attention,
            _HEADS,
        ),
        Op("embed", (*_IDS, *_TABLES), ("y",), _FUSED, rules.embed, reference.embed),
        Op("layer_norm", _NORM, ("y",), _ANY, rules.layer_norm, reference.layer_norm, _EPSILON),
        Op("linear", _LINEAR, ("y",), _ANY, rules.linear, reference.linear, _ACTIVATION),
        Op(
            "attention_qkv",
            (Operand("qkv"), _CU_SEQLENS, _STATIC),
            ("y",),
            _FUSED,
            rules.attention_qkv,
            reference.attention_qkv,
            _QKV,
        ),
        Op(
            "channel_affine",
            (*_X, Operand("multiplier", "vector"), Operand("offset", "vector")),
            ("y",),
            _BEFORE_TYPES,
            rules.channel_affine,
            reference.channel_affine,
        ),
        Op(
            "layer_norm_quantize",
            (*_NORM, *_ROUNDING),
            ("y", *_Q),
            _TYPED,
            rules.layer_norm_quantize,
            reference.layer_norm_quantize,
            _EPSILON,
        ),
        Op(
            "layer_norm_bf16",
            _NORM,
            ("y", "y_bf16"),
            _TYPED,
            rules.layer_norm_bf16,
            reference.layer_norm_bf16,
            _EPSILON,
        ),
        Op("quantize_rows", (*_X, *_ROUNDING), _Q, _TYPED, rules.quantize_rows, reference.quantize_rows),
        Op("cast_bf16", _X, ("y",), _TYPED, rules.cast_bf16, formulas.round_to_bf16),
        Op(
            "linear_bf16",
            _LINEAR,
            ("y",),
            _TYPED,
            rules.linear_bf16,
            reference.linear_bf16,
            {**_ACTIVATION, "out_dtype": _FLOATS},
        ),
        Op(
            "linear_int8",
            (*_INT8, *_EPILOGUE, _STATIC),
            ("y",),
            _TYPED,
            rules.linear_int8,
            reference.linear_int8,
            {**_ACTIVATION, "out_dtype": _STORED},
        ),
        Op(
            "pool",
            (*_X, _CU_SEQLENS),
            ("y",),
            _ANY,
            rules.pool,
            reference.pool,
            {"mode": POOLING_MODES},
        ),
        Op("normalize", _X, ("y",), _ANY, rules.elementwise, reference.normalize),
    )
}
"""Op name -> its row."""
