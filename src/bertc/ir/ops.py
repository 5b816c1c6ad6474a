"""THE op table: all that the compiler knows of an op, one row each (``op.py`` says what the columns mean).

A row here, a kernel in ``native/src/ops`` and a row in ``native/src/ops/ops.inc`` make an op. Ops
that only front ends emit (stage "imported") have no kernel: the passes fuse them away. So does
``channel_affine`` (stage "fused"): it becomes part of what writes its result in 8 bits.
"""

from __future__ import annotations

from collections.abc import Mapping

from bertc.ir import formulas, reference, rules
from bertc.ir.graph import TensorType
from bertc.ir.op import Op, Operand, Types

ACTIVATIONS = ("none", *reference.ACTIVATIONS)
"""What may be fused into an op that has the attribute ``activation``."""
POOLING_MODES = ("cls", "mean", "max")

_IMPORTED = frozenset({"imported"})
_BEFORE_TYPES = frozenset({"fused"})
_TYPED = frozenset({"typed"})
_FUSED = frozenset({"fused", "typed"})
_ANY = frozenset({"imported", "fused", "typed"})

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

_FLOATS = ("f32", "bf16")
_STORED = (*_FLOATS, "u8")
_EPSILON = {"epsilon": float}
_ACTIVATION = {"activation": ACTIVATIONS}
_HEADS: dict[str, type | tuple[str, ...]] = {"num_attention_heads": int, "scale": float}
_QKV = {**_HEADS, "compute_dtype": (*_FLOATS, "int8"), "out_dtype": _STORED}


def _columns(value: TensorType) -> float:
    return float(value.shape[-1])


def _product(types: Types, _: float) -> float:
    """Multiplications of a linear layer for one row."""
    return _columns(types["x"]) * float(types["weight"].shape[0])


OPS: Mapping[str, Op] = {
    op.name: op
    for op in (
        Op("embedding", _IMPORTED, (Operand("ids"), Operand("table")), rules.embedding, reference.embedding),
        Op("add", _IMPORTED, (Operand("a"), Operand("b")), rules.add, reference.add),
        *(Op(name, _IMPORTED, _X, rules.elementwise, twin) for name, twin in reference.ACTIVATIONS.items()),
        Op(
            "attention",
            _IMPORTED,
            (Operand("query"), Operand("key"), Operand("value"), _CU_SEQLENS),
            rules.attention,
            reference.attention,
            _HEADS,
        ),
        Op("embed", _FUSED, (*_IDS, *_TABLES), rules.embed, reference.embed, compared=True),
        Op(
            "layer_norm",
            _ANY,
            _NORM,
            rules.layer_norm,
            reference.layer_norm,
            _EPSILON,
            in_place="x",
            compared=True,
        ),
        Op(
            "layer_norm_quantize",
            _TYPED,
            (*_NORM, *_ROUNDING),
            rules.layer_norm_quantize,
            reference.layer_norm_quantize,
            _EPSILON,
            ("y", "q", "scale", "zero_point"),
            in_place="x",
        ),
        Op(
            "layer_norm_bf16",
            _TYPED,
            _NORM,
            rules.layer_norm_bf16,
            reference.layer_norm_bf16,
            _EPSILON,
            ("y", "y_bf16"),
            in_place="x",
        ),
        Op(
            "linear",
            _ANY,
            _LINEAR,
            rules.linear,
            reference.linear,
            _ACTIVATION,
            in_place="residual",
            work=_product,
            compared=True,
        ),
        Op(
            "linear_bf16",
            _TYPED,
            _LINEAR,
            rules.linear_bf16,
            reference.linear_bf16,
            {**_ACTIVATION, "out_dtype": _FLOATS},
            in_place="residual",
            work=_product,
        ),
        Op(
            "linear_int8",
            _TYPED,
            (*_INT8, *_EPILOGUE, _STATIC),
            rules.linear_int8,
            reference.linear_int8,
            {**_ACTIVATION, "out_dtype": _STORED},
            in_place="residual",
            work=_product,
        ),
        Op(
            "attention_qkv",
            _FUSED,
            (Operand("qkv"), _CU_SEQLENS, _STATIC),
            rules.attention_qkv,
            reference.attention_qkv,
            _QKV,
            work=lambda types, tokens: 2 * tokens * _columns(types["qkv"]) / 3,
            compared=True,
        ),
        Op(
            "channel_affine",
            _BEFORE_TYPES,
            (*_X, Operand("multiplier", "vector"), Operand("offset", "vector")),
            rules.channel_affine,
            reference.channel_affine,
        ),
        Op(
            "quantize_rows",
            _TYPED,
            (*_X, *_ROUNDING),
            rules.quantize_rows,
            reference.quantize_rows,
            outputs=("q", "scale", "zero_point"),
        ),
        Op("cast_bf16", _TYPED, _X, rules.cast_bf16, formulas.round_to_bf16),
        Op("pool", _ANY, (*_X, _CU_SEQLENS), rules.pool, reference.pool, {"mode": POOLING_MODES}),
        Op("normalize", _ANY, _X, rules.elementwise, reference.normalize, in_place="x"),
    )
}
"""Op name -> its row."""
