"""THE op table: all that the compiler knows of an op, one row each (``op.py`` says what the columns mean).

A row here, a kernel in ``native/src/ops`` and a row in ``native/src/ops/ops.inc`` make an op. Ops
that only front ends emit (stage "imported") have no kernel: the passes fuse them away. So does
``channel_affine`` (stage "fused"): it becomes part of what writes its result in 8 bits. ``host`` has
none either: a session computes its region with NumPy, between two native programs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bertc.ir import formulas, reference, reference_attention, rules
from bertc.ir.graph import Attribute, TensorType
from bertc.ir.op import Op, Operand, Types
from bertc.operations import attention_operations, product_operations, seen_keys
from bertc.ports import SEQUENCES, TOKENS
from bertc.primitives.region import IDS, NUMBERS, ROWS

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
_DISTANCES = (
    Operand("distance_bias", "distances", optional=True),
    Operand("slopes", "vector", optional=True),
)
_POSITIONS = (
    Operand("rotary", "angles", optional=True),
    *(Operand(name, optional=True, has_default=True) for name in ("position_ids", "places")),
)
_DISENTANGLED = (
    Operand("buckets", "distances", optional=True),
    Operand("position_keys", "weight", optional=True),
    Operand("position_queries", "table", optional=True),
)
_POOLED = Operand("pooled", optional=True, has_default=True)
_NORM = (*_X, Operand("gamma", "vector"), Operand("beta", "vector"))
_BY_PLACE = Operand("cu_seqlens", optional=True)
"""Goes with vectors of the rows that are the first or the last token of their sequence."""
_OFFSETS = tuple(Operand(name, "vector", optional=True) for name in ("first_offset", "last_offset"))
_VECTORS = tuple(Operand(name, "vector", optional=True) for name in ("multiplier", "offset"))
_ROUNDING = (*_VECTORS, _STATIC, *_OFFSETS, _BY_PLACE)
_BIASES = tuple(Operand(name, "vector", optional=True) for name in ("first_bias", "last_bias"))
_EPILOGUE = (Operand("bias", "vector"), Operand("residual", optional=True))
_WEIGHT = Operand("weight", "weight")
_SCALES = tuple(map(Operand, ("scale", "zero_point")))
_QUANTIZED = ("q", "scale", "zero_point")
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
_NORMS: Mapping[str, Any] = {
    "attributes": {"epsilon": float, "rms": int},
    "defaults": {"rms": 0},
    "features": ("rms",),
    "in_place": "x",
}
_CHANGE: Mapping[str, Any] = {"attributes": {"hadamard": int}, "defaults": {"hadamard": 1}}
_LINEAR: Mapping[str, type | tuple[str, ...]] = {"activation": ACTIVATIONS, "gated": int}
_ATTENTION: dict[str, type | tuple[str, ...]] = {
    "num_attention_heads": int,
    "num_key_value_heads": int,
    "scale": float,
    "compute_dtype": (*_FLOATS, "int8"),
    "out_dtype": _STORED,
    "window": int,
}


def _columns(value: TensorType) -> int:
    return int(value.shape[-1])


def _product(types: Types, _: Mapping[str, Attribute], tokens: float) -> float:  # noqa: ARG001
    """Return the operations of a linear layer for one row."""
    return float(product_operations(_columns(types["x"]), int(types["weight"].shape[0])))


def _attention(types: Types, attributes: Mapping[str, Attribute], tokens: float) -> float:
    """Return the operations of attention for one token."""
    columns, _ = rules.attention_columns(types, attributes)
    operations = attention_operations(columns, seen_keys(tokens, int(attributes["window"])))
    tables = [types[name] for name in ("position_keys", "position_queries") if name in types]
    return operations + sum(product_operations(columns, min(tokens, int(each.shape[0]))) for each in tables)


_PRODUCT: Mapping[str, Any] = {
    "in_place": "residual",
    "work": _product,
    "defaults": {"gated": 0},
    "features": ("gated", "cu_seqlens"),
}


def _op(name: str, stages: frozenset[str], operands: tuple[Operand, ...], **columns: Any) -> Op:
    """Return a row; its shape rule and its NumPy twin are functions of its name, unless others are given."""
    columns["rule"] = columns.get("rule") or getattr(rules, name)
    columns["reference"] = columns.get("reference") or getattr(reference, name)
    return Op(name, stages, operands, **columns)


_ROWS = (
    *(_op(name, _IMPORTED, (Operand("a"), Operand("b"))) for name in ("add", "multiply")),
    *(_op(name, _IMPORTED, _X, rule=rules.elementwise) for name in reference.ACTIVATIONS),
    _op(
        "embed",
        _ANY,
        (*_IDS, *_TABLES, _CU_SEQLENS),
        attributes={"first_position": int},
        defaults={"first_position": 0},
        features=("first_position", "task_type"),
        forms={"fp16": "embed", "int8": "embed"},
        compared=True,
    ),
    _op("layer_norm", _ANY, _NORM, **_NORMS, compared=True),
    _op(
        "layer_norm_quantize",
        _TYPED,
        (*_NORM, *_ROUNDING),
        attributes={**_NORMS["attributes"], **_CHANGE["attributes"]},
        defaults={**_NORMS["defaults"], **_CHANGE["defaults"]},
        features=("rms", "cu_seqlens", "hadamard"),
        in_place=_NORMS["in_place"],
        outputs=("y", *_QUANTIZED),
    ),
    _op("layer_norm_bf16", _TYPED, _NORM, **_NORMS, outputs=("y", "y_bf16")),
    _op(
        "linear",
        _ANY,
        (*_X, _WEIGHT, *_EPILOGUE, *_BIASES, _BY_PLACE),
        attributes=_LINEAR,
        **_PRODUCT,
        forms={"bf16": "linear_bf16", "int8": "linear_int8"},
        compared=True,
    ),
    _op(
        "linear_bf16",
        _TYPED,
        (*_X, _WEIGHT, *_EPILOGUE, *_BIASES, _BY_PLACE),
        attributes={**_LINEAR, "out_dtype": _FLOATS},
        **_PRODUCT,
    ),
    _op(
        "linear_int8",
        _TYPED,
        (
            *(*_X, *_SCALES, _WEIGHT, Operand("weight_scale"), *_EPILOGUE, _STATIC),
            *(*_BIASES, *_OFFSETS, _BY_PLACE),
        ),
        attributes={**_LINEAR, "out_dtype": _STORED},
        **{**_PRODUCT, "features": (*_PRODUCT["features"], "weight_bound")},
    ),
    _op(
        "attention",
        _ANY,
        (
            *_APART,
            _CU_SEQLENS,
            Operand("qkv", optional=True),
            _STATIC,
            _ATTENDED,
            *_DISTANCES,
            *_POSITIONS,
            *_DISENTANGLED,
        ),
        attributes=_ATTENTION,
        reference=reference_attention.attention,
        defaults={"compute_dtype": "f32", "out_dtype": "f32", "window": 0, "num_key_value_heads": 0},
        features=(
            *("attended", "buckets", "distance_bias", "rotary", "window"),
            *("num_key_value_heads", "slopes"),
        ),
        work=_attention,
        forms={"bf16": "attention", "int8": "attention"},
        compared=True,
    ),
    _op("channel_affine", _BEFORE_TYPES, (*_X, *_VECTORS, *_OFFSETS, _BY_PLACE), **_CHANGE),
    _op(
        "quantize_rows",
        _TYPED,
        (*_X, *_ROUNDING),
        **_CHANGE,
        features=("cu_seqlens", "hadamard"),
        outputs=_QUANTIZED,
    ),
    _op("cast_bf16", _TYPED, _X, reference=formulas.round_to_bf16),
    _op(
        "pool",
        _ANY,
        (*_X, _CU_SEQLENS, _POOLED),
        attributes={"mode": POOLING_MODES},
        features=("pooled",),
    ),
    _op("select_rows", _ANY, (*_X, Operand("selected")), features=("select_rows",)),
    _op("concat", _ANY, (Operand("a"), Operand("b")), features=("concat",)),
    _op(
        "host",
        _ANY,
        (
            *(Operand(name, optional=True) for name in ROWS),
            *(each for each in _IDS if each.name in IDS),
            _CU_SEQLENS,
            Operand(NUMBERS, "vector", optional=True),
        ),
        attributes={"region": str, "rows": (TOKENS, SEQUENCES)},
        features=("host",),
    ),
    _op("normalize", _ANY, _X, rule=rules.elementwise, in_place="x"),
)
OPS: Mapping[str, Op] = {op.name: op for op in _ROWS}
"""The rows by op name."""
