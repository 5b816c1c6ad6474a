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
"""The values of the attribute ``activation``: what may be fused into an op that has it."""
POOLING_MODES = tuple(reference.POOLINGS)

_IMPORTED = frozenset({"imported"})
_BEFORE_TYPES = frozenset({"fused"})
_TYPED = frozenset({"typed"})
_FUSED = frozenset({"fused", "typed"})
_ANY = frozenset({"imported", "fused", "typed"})

_X = (Operand("x"),)
_CU_SEQLENS = Operand("cu_seqlens")
_STATIC = Operand("static", "vector", optional=True)
_ATTENDED = Operand("attended", optional=True, has_default=True)
_POOLED = Operand("pooled", optional=True, has_default=True)
_NORM = (*_X, Operand("gamma", "vector"), Operand("beta", "vector"))
_VECTORS = tuple(Operand(name, "vector", optional=True) for name in ("multiplier", "offset"))
_ROUNDING = (*_VECTORS, _STATIC)
_EPILOGUE = (Operand("bias", "vector"), Operand("residual", optional=True))
_LINEAR = (*_X, Operand("weight", "weight"), *_EPILOGUE)
_INT8 = (*_X, *map(Operand, ("scale", "zero_point")), Operand("weight", "weight"), Operand("weight_scale"))
_APART = tuple(Operand(name, optional=True, imported_only=True) for name in ("query", "key", "value"))
_IDS = tuple(
    Operand(name, optional=True, has_default=name != "input_ids") for name in reference.TABLES.values()
)
_TABLES = (
    *(Operand(name, "table", optional=True) for name in reference.TABLES),
    Operand("word_scale", "vector", optional=True),
)


_FLOATS = ("f32", "bf16")
_STORED = (*_FLOATS, "u8")
_EPSILON = {"epsilon": float}
_ACTIVATION = {"activation": ACTIVATIONS}
_ATTENTION: dict[str, type | tuple[str, ...]] = {
    "num_attention_heads": int,
    "scale": float,
    "compute_dtype": (*_FLOATS, "int8"),
    "out_dtype": _STORED,
}


def _columns(value: TensorType) -> float:
    return float(value.shape[-1])


def _product(types: Types, _: float) -> float:
    """Return the multiplications of a linear layer for one row."""
    return _columns(types["x"]) * float(types["weight"].shape[0])


OPS: Mapping[str, Op] = {
    op.name: op
    for op in (
        Op("add", _IMPORTED, (Operand("a"), Operand("b")), rules.add, reference.add),
        *(Op(name, _IMPORTED, _X, rules.elementwise, twin) for name, twin in reference.ACTIVATIONS.items()),
        Op(
            "embed",
            _ANY,
            (*_IDS, *_TABLES, _CU_SEQLENS),
            rules.embed,
            reference.embed,
            {"first_position": int},
            defaults={"first_position": 0},
            features=("first_position", "task_type"),
            forms={"fp16": "embed", "int8": "embed"},
            compared=True,
        ),
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
            outputs=("y", "q", "scale", "zero_point"),
            in_place="x",
        ),
        Op(
            "layer_norm_bf16",
            _TYPED,
            _NORM,
            rules.layer_norm_bf16,
            reference.layer_norm_bf16,
            _EPSILON,
            outputs=("y", "y_bf16"),
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
            forms={"bf16": "linear_bf16", "int8": "linear_int8"},
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
            "attention",
            _ANY,
            (*_APART, _CU_SEQLENS, Operand("qkv", optional=True), _STATIC, _ATTENDED),
            rules.attention,
            reference.attention,
            _ATTENTION,
            defaults={"compute_dtype": "f32", "out_dtype": "f32"},
            features=("attended",),
            work=lambda types, tokens: 2 * tokens * _columns(types["qkv"]) / 3,
            forms={"bf16": "attention", "int8": "attention"},
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
        Op(
            "pool",
            _ANY,
            (*_X, _CU_SEQLENS, _POOLED),
            rules.pool,
            reference.pool,
            {"mode": POOLING_MODES},
            features=("pooled",),
        ),
        Op(
            "select_rows",
            _ANY,
            (*_X, Operand("selected")),
            rules.select_rows,
            reference.select_rows,
            features=("select_rows",),
        ),
        Op(
            "concat", _ANY, (Operand("a"), Operand("b")), rules.concat, reference.concat, features=("concat",)
        ),
        Op("normalize", _ANY, _X, rules.elementwise, reference.normalize, in_place="x"),
    )
}
"""The rows by op name."""
