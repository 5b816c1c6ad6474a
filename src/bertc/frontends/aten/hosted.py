"""The import table of ATen ops that no native op computes: a session runs them on the host."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bertc.frontends.aten.call import Call, Import


def _conv(call: Call) -> str:
    """conv1d and convolution(input, weight, bias, stride, padding, dilation, ..., groups), over one axis."""
    x, weight = call["input"], call["weight"]
    if call.rank(x) != 3 or call.get("transposed"):
        raise call.error("only a convolution over one axis is supported")
    (stride,), (dilation,) = call.sizes("stride") or [1], call.sizes("dilation") or [1]
    out = call.builder.op(
        "conv1d",
        x,
        weight,
        stride=stride,
        pads=_pads(call, dilation * (call.shape(weight)[2] - 1)),
        dilation=dilation,
        groups=call.get("groups", 1),
    )
    if call.get("bias") is None:
        return out
    return call.builder.op("add", out, call.builder.reshape(call["bias"], -1, 1))


def _pads(call: Call, spread: int) -> tuple[int, int]:
    """Return the zeros before and after; ``spread`` is how many more tokens a tap sees than one."""
    padding = call.get("padding", 0)
    if padding == "same":
        return spread // 2, spread - spread // 2
    if padding == "valid":
        return 0, 0
    (both,) = call.sizes("padding") or [0]
    return both, both


def _where_positive(call: Call, otherwise: str) -> str:
    builder, x = call.builder, call["self"]
    return builder.op("where", builder.op("greater", x, builder.constant(0.0)), x, otherwise)


def _leaky_relu(call: Call) -> str:
    slope = call.builder.constant(float(call.get("negative_slope", 0.01)))
    return _where_positive(call, call.builder.op("mul", call["self"], slope))


def _elu(alpha: float, scale: float) -> Import:
    """Return an import of ``scale x`` where x is positive, else of ``scale alpha (exp(x) - 1)``."""

    def convert(call: Call) -> str:
        builder = call.builder
        low = builder.op("sub", builder.op("exp", call["self"]), builder.constant(1.0))
        low = builder.op("mul", low, builder.constant(float(call.get("alpha", alpha))))
        out = _where_positive(call, low)
        return builder.op("mul", out, builder.constant(float(call.get("scale", scale))))

    return convert


def _ramp(call: Call) -> str:
    """Return ``x / 6 + 1 / 2``, kept from 0 to 1."""
    builder = call.builder
    line = builder.op("mul", call["self"], builder.constant(1 / 6))
    line = builder.op("add", line, builder.constant(0.5))
    return builder.op("min", builder.op("max", line, builder.constant(0.0)), builder.constant(1.0))


def _hard_swish(call: Call) -> str:
    return call.builder.op("mul", call["self"], _ramp(call))


def _glu(call: Call) -> str:
    axis = call.axis(default=-1)
    parts = [call.builder.op("chunk", call["self"], axis=axis, index=index, count=2) for index in (0, 1)]
    return call.builder.op("mul", parts[0], call.builder.op("sigmoid", parts[1]))


def _log_sum_exp(call: Call) -> str:
    """Log of the sum of exp over axes, which are shifted by their maximum."""
    builder, x, axes = call.builder, call["self"], call.axes()
    highest = builder.op("reduce_max", x, axes=axes, keepdims=True)
    powers = builder.op("exp", builder.op("sub", x, highest))
    total = builder.op("log", builder.op("reduce_sum", powers, axes=axes, keepdims=True))
    total = builder.op("add", total, highest)
    return total if call.get("keepdim", False) else builder.op("squeeze", total, axes=axes)


def _pad(call: Call) -> str:
    """constant_pad_nd(self, pad, value): zeros before and after each axis, from the last one."""
    counts, rank = call.sizes("pad"), call.rank(call["self"])
    if call.get("mode", "constant") != "constant":
        raise call.error("only constants before and after are supported")
    pads = np.zeros((2, rank), np.int64)
    for place in range(len(counts) // 2):
        pads[:, rank - 1 - place] = counts[2 * place : 2 * place + 2]
    value = call.builder.constant(np.float32(call.get("value", 0.0)))
    return call.builder.op("pad", call["self"], call.builder.constant(pads.ravel()), value)


TABLE: Mapping[str, Import] = {
    **dict.fromkeys(("conv1d", "convolution", "_convolution", "_convolution_mode"), _conv),
    **dict.fromkeys(("pad", "constant_pad_nd"), _pad),
    "leaky_relu": _leaky_relu,
    "elu": _elu(1.0, 1.0),
    "selu": _elu(1.6732632423543772, 1.0507009873554805),
    "hardsigmoid": _ramp,
    "hardswish": _hard_swish,
    "glu": _glu,
    "logsumexp": _log_sum_exp,
}
"""The function for each op. More of this kind are in the other tables: those that are parts of other ops."""
