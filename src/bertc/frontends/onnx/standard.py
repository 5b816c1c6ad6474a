"""The import table of ONNX's own operators. Attention and the quantized ones are in files of their own."""

from __future__ import annotations

from typing import Any

import numpy as np

from bertc.foreign.graph import SMALL
from bertc.frontends.onnx.call import WEIGHTS, Call, Import, Row

_FLOATS = {1: "float32", 10: "float32", 11: "float32", 16: "float32"}
_INTEGERS = {
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    9: "bool",
    12: "uint32",
    13: "uint64",
}
DTYPES = {**_FLOATS, **_INTEGERS}
"""The number of an ONNX element type -> the NumPy dtype that it is computed in: all floats are float32."""


def _plain(primitive: str) -> Import:
    return lambda call: call.builder.op(primitive, *call.inputs)


def _chain(primitive: str) -> Import:
    """Return an import of an op that takes any number of operands."""

    def convert(call: Call) -> str:
        total = call[0]
        for other in call.inputs[1:]:
            total = call.builder.op(primitive, total, other)
        return total

    return convert


_SAME_NAME = {
    **{
        name: name.lower()
        for name in ("Abs", "Neg", "Sqrt", "Reciprocal", "Exp", "Log", "Erf", "Tanh", "Relu")
    },
    **{
        name: name.lower()
        for name in ("Sigmoid", "Softplus", "Sign", "Floor", "Ceil", "Round", "Sin", "Cos", "Not")
    },
    **{
        name: name.lower()
        for name in ("Add", "Sub", "Mul", "Div", "Pow", "Mod", "Equal", "Less", "Greater", "And", "Or")
    },
    "IsNaN": "isnan",
    "IsInf": "isinf",
    "LessOrEqual": "less_equal",
    "GreaterOrEqual": "greater_equal",
    "Where": "where",
    "MatMul": "matmul",
    "Expand": "expand",
    "Tile": "tile",
}


def _identity(call: Call) -> str:
    return call[0]


def _cast(call: Call) -> str:
    to = DTYPES.get(call.get("to"))
    if to is None:
        raise call.error(f"it casts to the element type {call.get('to')}, which is not supported")
    constant = call.builder.constants.get(call[0])
    if constant is not None and constant.dtype.itemsize == 1 and len(constant.shape) == 2:
        call.notes.add(WEIGHTS.format(bits=8))
    return call.builder.cast(call[0], to)


def _constant(call: Call) -> str:
    for name, dtype in (
        ("value_float", np.float32),
        ("value_floats", np.float32),
        ("value_int", np.int64),
        ("value_ints", np.int64),
    ):
        if name in call.attributes:
            return call.builder.constant(np.array(call.attributes[name], dtype))
    if "value" not in call.attributes:
        raise call.error("it holds no number")
    return call.builder.constant(call.attributes["value"])


def _reshape(call: Call) -> str:
    return call.builder.op("reshape", call[0], call[1], keep_zeros=bool(call.get("allowzero", 0)))


def _transpose(call: Call) -> str:
    perm = call.get("perm")
    if perm is None:
        raise call.error("it has no 'perm': write the order of the axes")
    return call.builder.transpose(call[0], *perm)


def _concat(call: Call) -> str:
    return call.builder.op("concat", *call.inputs, axis=call.attributes["axis"])


def _gather(call: Call) -> str:
    return call.builder.op("gather", call[0], call[1], axis=call.get("axis", 0))


def _gather_nd(call: Call) -> str:
    if call.get("batch_dims", 0):
        raise call.error("batch_dims is not supported")
    return call.builder.op("gather_nd", call[0], call[1])


def _slice_by_attributes(call: Call) -> str:
    starts, ends = (
        call.builder.constant(np.array(call.attributes[name], np.int64)) for name in ("starts", "ends")
    )
    axes = call.get("axes", [*range(len(call.attributes["starts"]))])
    return call.builder.op("slice", call[0], starts, ends, axes=tuple(axes), steps=(1,) * len(axes))


def _slice(call: Call) -> str:
    if call[3]:
        axes = call.known(3, "axes").ravel().tolist()
    else:
        bounds = call.builder.known(call[1])
        axes = [*range(1 if bounds is None else bounds.size)]
    steps = call.known(4, "steps").ravel().tolist() if call[4] else [1] * len(axes)
    return call.builder.op("slice", call[0], call[1], call[2], axes=tuple(axes), steps=tuple(steps))


def _split(call: Call) -> tuple[str, ...]:
    sizes = call.get("split")
    if sizes is None and call.version >= 13 and call[1]:
        sizes = call.known(1, "sizes").ravel().tolist()
    axis = call.get("axis", 0)
    if sizes is None:
        count = call.get("num_outputs", call.outputs)
        return tuple(call.builder.op("chunk", call[0], axis=axis, index=i, count=count) for i in range(count))
    ends = np.cumsum(sizes).tolist()
    return tuple(
        call.builder.part(call[0], axis, end - size, end) for size, end in zip(sizes, ends, strict=True)
    )


def _squeeze(call: Call) -> str:
    return call.builder.op("squeeze", call[0], axes=call.axes(13))


def _unsqueeze(call: Call) -> str:
    axes = call.axes(13)
    if axes is None:
        raise call.error("it names no axes")
    return call.builder.op("unsqueeze", call[0], axes=axes)


def _flatten(call: Call) -> str:
    axis = call.get("axis", 1)
    if axis == 2:  # of [batch, length]: a trailing axis of one element
        return call.builder.op("reshape", call[0], call.builder.constant(np.array([-1, 1])))
    raise call.error(f"Flatten with axis {axis} is not supported")


def _reduce(primitive: str, since: int) -> Import:
    def convert(call: Call) -> str:
        axes = call.axes(since)
        if axes is None and call.get("noop_with_empty_axes", 0):
            return call[0]
        return call.builder.op(primitive, call[0], axes=axes, keepdims=bool(call.get("keepdims", 1)))

    return convert


def _reduce_sum_square(call: Call) -> str:
    square = call.builder.op("mul", call[0], call[0])
    return call.builder.op("reduce_sum", square, axes=call.axes(18), keepdims=bool(call.get("keepdims", 1)))


def _lp_normalization(call: Call) -> str:
    if call.get("p", 2) != 2:
        raise call.error(f"p is {call.get('p')}: only 2 is supported")
    norm = call.builder.op("reduce_l2", call[0], axes=(call.get("axis", -1),), keepdims=True)
    return call.builder.op("div", call[0], norm)


def _softmax(call: Call) -> str:
    axis = call.get("axis", 1 if call.version < 13 else -1)
    return call.builder.op("softmax", call[0], axis=axis)


def _clip(call: Call) -> str:
    low, high = (call.get("min"), call.get("max")) if call.version < 11 else (call[1], call[2])
    result = call[0]
    for primitive, bound in (("max", low), ("min", high)):
        if bound not in (None, ""):
            value = bound if isinstance(bound, str) else call.builder.constant(float(bound))
            result = call.builder.op(primitive, result, value)
    return result


def gemm(call: Call) -> str:
    """Gemm: a product of two matrices, each transposed or not, and a bias."""
    builder = call.builder
    a, b = (
        builder.transpose(call[index], 1, 0) if call.get(flag, 0) else call[index]
        for index, flag in ((0, "transA"), (1, "transB"))
    )
    out = builder.op("matmul", a, b)
    alpha, beta = call.get("alpha", 1.0), call.get("beta", 1.0)
    if alpha != 1.0:
        out = builder.op("mul", out, builder.constant(float(alpha)))
    if not call[2] or beta == 0.0:
        return out
    bias = call[2] if beta == 1.0 else builder.op("mul", call[2], builder.constant(float(beta)))
    return builder.op("add", out, bias)


def _layer_norm(call: Call) -> str:
    if call.get("axis", -1) not in (-1, 2):
        raise call.error(f"axis is {call.get('axis')}: only the last one is supported")
    return call.builder.layer_norm(call[0], call[1], call[2], call.get("epsilon", 1e-5))


def _rms_norm(call: Call) -> str:
    builder = call.builder
    mean = builder.op("reduce_mean", builder.op("mul", call[0], call[0]), axes=(-1,), keepdims=True)
    root = builder.op("sqrt", builder.op("add", mean, builder.constant(float(call.get("epsilon", 1e-5)))))
    return builder.op("mul", builder.op("div", call[0], root), call[1])


def _gelu(call: Call) -> str:
    return call.builder.gelu(call[0], approximate=call.get("approximate", "none") == "tanh")


def times_sigmoid(slope: float) -> Import:
    """Return an import of ``x * sigmoid(slope x)``; the attribute ``alpha`` is another slope."""

    def convert(call: Call) -> str:
        alpha = float(call.get("alpha", slope))
        inner = call[0] if alpha == 1.0 else call.builder.op("mul", call[0], call.builder.constant(alpha))
        return call.builder.op("mul", call[0], call.builder.op("sigmoid", inner))

    return convert


def _mish(call: Call) -> str:
    return call.builder.op("mul", call[0], call.builder.op("tanh", call.builder.op("softplus", call[0])))


def _shape(call: Call) -> str:
    return call.builder.op("shape", call[0], start=call.get("start", 0), end=call.get("end"))


def _size(call: Call) -> str:
    shape = call.builder.op("shape", call[0], start=0, end=None)
    return call.builder.op("reduce_prod", shape, axes=None, keepdims=False)


def _constant_of_shape(call: Call) -> str:
    value: Any = call.get("value", np.zeros(1, np.float32))
    array = np.asarray(value.array() if hasattr(value, "array") else value)
    if array.size != 1 or array.size > SMALL:
        raise call.error("its value must be one number")
    return call.builder.op("full", call[0], value=array)


def _range(call: Call) -> str:
    return call.builder.op("range", *call.inputs)


def _cumsum(call: Call) -> str:
    axis = int(call.known(1, "axis").item())
    flags = {name: bool(call.get(name, 0)) for name in ("exclusive", "reverse")}
    return call.builder.op("cumsum", call[0], axis=axis, **flags)


def _trilu(call: Call) -> str:
    k = int(call.known(1, "diagonal").item()) if call[1] else 0
    return call.builder.op("trilu", call[0], upper=bool(call.get("upper", 1)), k=k)


def _dropout(call: Call) -> tuple[str, ...]:
    return call[0], call[0]


TABLE = (
    *(Row(name, _plain(primitive)) for name, primitive in _SAME_NAME.items()),
    *(Row(name, _chain(name.lower()[:3])) for name in ("Max", "Min")),
    Row("Sum", _chain("add")),
    Row("Identity", _identity),
    Row("Dropout", _dropout),
    Row("Cast", _cast),
    Row("CastLike", _identity),
    Row("Constant", _constant),
    Row("ConstantOfShape", _constant_of_shape),
    Row("Shape", _shape),
    Row("Size", _size),
    Row("Range", _range),
    Row("Reshape", _reshape, 5),
    Row("Transpose", _transpose),
    Row("Flatten", _flatten),
    Row("Squeeze", _squeeze),
    Row("Unsqueeze", _unsqueeze),
    Row("Concat", _concat),
    Row("Slice", _slice_by_attributes, 1, 9),
    Row("Slice", _slice, 10),
    Row("Split", _split),
    Row("Gather", _gather),
    Row(
        "GatherElements",
        lambda call: call.builder.op("gather_elements", call[0], call[1], axis=call.get("axis", 0)),
    ),
    Row("GatherND", _gather_nd),
    Row("Trilu", _trilu),
    Row("CumSum", _cumsum),
    *(
        Row(f"Reduce{name}", _reduce(f"reduce_{name.lower()}", 18))
        for name in ("Mean", "Max", "Min", "Prod", "L2")
    ),
    Row("ReduceSum", _reduce("reduce_sum", 13)),
    Row("ReduceSumSquare", _reduce_sum_square),
    Row("LpNormalization", _lp_normalization),
    Row("Softmax", _softmax),
    Row("Clip", _clip),
    Row("Gemm", gemm),
    Row("LayerNormalization", _layer_norm, 17),
    Row("RMSNormalization", _rms_norm, 23),
    Row("Gelu", _gelu, 20),
    Row("Swish", times_sigmoid(1.0), 24),
    Row("Mish", _mish, 18),
)
"""The rows: several for a name where a version changed it."""
