"""The import table of ONNX's operators that no native op computes: a session runs them on the host."""

from __future__ import annotations

import numpy as np

from bertc.frontends.onnx.call import Call, Import, Row


def _conv(call: Call) -> str:
    """Conv over one axis: x [batch, channels, length], weight [out, channels / group, taps]."""
    builder = call.builder
    weight = builder.constants.get(call[1])
    shape: tuple[int, ...] = () if weight is None else weight.shape
    if len(shape) != 3:
        raise call.error("only a convolution over one axis, with constant weights, is supported")
    (stride,), (dilation,) = call.get("strides", [1]), call.get("dilations", [1])
    out = builder.op(
        "conv1d",
        call[0],
        call[1],
        stride=int(stride),
        pads=_pads(call, int(dilation) * (int(shape[2]) - 1), int(stride)),
        dilation=int(dilation),
        groups=int(call.get("group", 1)),
    )
    return builder.op("add", out, builder.reshape(call[2], -1, 1)) if call[2] else out


def _pads(call: Call, spread: int, stride: int) -> tuple[int, int]:
    """Return the zeros before and after; ``spread`` is how many more tokens a tap sees than one."""
    kind = call.get("auto_pad", "NOTSET")
    if kind == "NOTSET":
        before, after = call.get("pads", [0, 0])
        return int(before), int(after)
    if kind == "VALID":
        return 0, 0
    if stride != 1:
        raise call.error(f"auto_pad {kind} with a stride is not supported")
    less, more = spread // 2, spread - spread // 2
    return (less, more) if kind == "SAME_UPPER" else (more, less)


def _pad(call: Call) -> str:
    if call.get("mode", "constant") != "constant" or call[3]:
        raise call.error("only constants before and after all axes are supported")
    value = call[2] or call.builder.constant(np.float32(0))
    return call.builder.op("pad", call[0], call[1], value)


def _where_positive(call: Call, otherwise: str) -> str:
    builder = call.builder
    return builder.op("where", builder.op("greater", call[0], builder.constant(0.0)), call[0], otherwise)


def _leaky_relu(call: Call) -> str:
    slope = call[1] or call.builder.constant(float(call.get("alpha", 0.01)))
    return _where_positive(call, call.builder.op("mul", call[0], slope))


def _elu(alpha: float, gamma: float) -> Import:
    """Return an import of ``gamma x`` where x is positive, else of ``gamma alpha (exp(x) - 1)``."""

    def convert(call: Call) -> str:
        builder = call.builder
        low = builder.op("sub", builder.op("exp", call[0]), builder.constant(1.0))
        low = builder.op("mul", low, builder.constant(float(call.get("alpha", alpha))))
        out = _where_positive(call, low)
        return builder.op("mul", out, builder.constant(float(call.get("gamma", gamma))))

    return convert


def _hard_sigmoid(call: Call) -> str:
    return _ramp(call, float(call.get("alpha", 0.2)), float(call.get("beta", 0.5)))


def _ramp(call: Call, slope: float, offset: float) -> str:
    """Return ``slope x + offset``, kept from 0 to 1."""
    builder = call.builder
    line = builder.op("mul", call[0], builder.constant(slope))
    line = builder.op("add", line, builder.constant(offset))
    return builder.op("min", builder.op("max", line, builder.constant(0.0)), builder.constant(1.0))


def _hard_swish(call: Call) -> str:
    return call.builder.op("mul", call[0], _ramp(call, 1 / 6, 0.5))


def _softsign(call: Call) -> str:
    builder = call.builder
    below = builder.op("add", builder.op("abs", call[0]), builder.constant(1.0))
    return builder.op("div", call[0], below)


def _log_softmax(call: Call) -> str:
    axis = call.get("axis", 1 if call.version < 13 else -1)
    return call.builder.op("log", call.builder.op("softmax", call[0], axis=axis))


def _log_sum_exp(call: Call) -> str:
    """Log of the sum of exp over axes, which are shifted by their maximum."""
    builder, axes = call.builder, call.axes(18)
    highest = builder.op("reduce_max", call[0], axes=axes, keepdims=True)
    powers = builder.op("exp", builder.op("sub", call[0], highest))
    total = builder.op(
        "add", builder.op("log", builder.op("reduce_sum", powers, axes=axes, keepdims=True)), highest
    )
    return total if call.get("keepdims", 1) else builder.op("squeeze", total, axes=axes)


def _sum_of_absolutes(call: Call) -> str:
    absolute = call.builder.op("abs", call[0])
    return call.builder.op("reduce_sum", absolute, axes=call.axes(18), keepdims=bool(call.get("keepdims", 1)))


def _rotary(call: Call) -> str:
    """RotaryEmbedding(x, cos, sin, positions), of ONNX."""
    return _turned(call, call[1], call[2], call[3])


def _microsofts_rotary(call: Call) -> str:
    """RotaryEmbedding(x, positions, cos, sin), of ONNX Runtime."""
    if call.get("is_packed_batching", 0) or call.get("scale", 1.0) != 1.0:
        raise call.error("packed batches and scales are not supported")
    return _turned(call, call[2], call[3], call[1])


def _turned(call: Call, cos: str, sin: str, positions: str) -> str:
    """Turn pairs of columns of each head by angles (RoFormer, arXiv:2104.09864, eq. 34).

    x is [batch, heads, length, size], or with ``num_heads`` [batch, length, heads x size]; the tables are
    [positions, pairs], or without positions [batch, length, pairs].
    """
    builder = call.builder
    heads, width = (int(call.get(name, 0)) for name in ("num_heads", "rotary_embedding_dim"))
    x = builder.transpose(builder.reshape(call[0], 0, 0, heads, -1), 0, 2, 1, 3) if heads else call[0]
    whole = x
    if width:
        x = builder.part(whole, 3, 0, width)
    if positions:
        cos, sin = (builder.op("gather", table, positions, axis=0) for table in (cos, sin))
    cos, sin = (builder.op("unsqueeze", table, axes=(1,)) for table in (cos, sin))
    pairs = bool(call.get("interleaved", 0))
    if pairs:  # columns that belong together are neighbors, else they are half a head apart
        x = builder.op("reshape", x, builder.constant(np.array([0, 0, 0, -1, 2], np.int64)))
        cos, sin = (builder.op("unsqueeze", table, axes=(4,)) for table in (cos, sin))
    first, second = (builder.op("chunk", x, axis=-1, index=index, count=2) for index in (0, 1))
    real = builder.op("sub", builder.op("mul", first, cos), builder.op("mul", second, sin))
    imaginary = builder.op("add", builder.op("mul", first, sin), builder.op("mul", second, cos))
    turned = builder.op("concat", real, imaginary, axis=-1)
    if pairs:
        turned = builder.reshape(turned, 0, 0, 0, -1)
    if width:
        turned = builder.op("concat", turned, builder.part(whole, 3, width, 2**31), axis=3)
    return builder.reshape(builder.transpose(turned, 0, 2, 1, 3), 0, 0, -1) if heads else turned


TABLE = (
    Row("RotaryEmbedding", _rotary, 23),
    Row("Conv", _conv),
    Row("Pad", _pad, 11),
    Row("LeakyRelu", _leaky_relu),
    Row("PRelu", _leaky_relu),
    Row("Elu", _elu(1.0, 1.0)),
    Row("Selu", _elu(1.6732632423543772, 1.0507009873554805)),
    Row("HardSigmoid", _hard_sigmoid),
    Row("HardSwish", _hard_swish, 14),
    Row("Softsign", _softsign),
    Row("LogSoftmax", _log_softmax),
    Row("ReduceLogSumExp", _log_sum_exp),
    Row("ReduceL1", _sum_of_absolutes),
)
"""The rows. More operators of this kind are in ``standard.py``: those that are also parts of other ones."""
MICROSOFT_TABLE = (Row("RotaryEmbedding", _microsofts_rotary),)
"""The rows of ONNX Runtime's operators."""
