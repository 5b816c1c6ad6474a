"""Activations as ONNX operators: one where the version has it, else spelled out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from bertc.exporters.onnx.writer import Writer


def activate(writer: Writer, name: str, x: str) -> str:
    """Append an activation of ``bertc.ir.reference.ACTIVATIONS``, or nothing for "none"."""
    return x if name == "none" else ACTIVATIONS[name](writer, x)


def _gelu(writer: Writer, x: str) -> str:
    if writer.options.opset >= 20:
        return writer.add("Gelu", x)
    erf = writer.add("Erf", writer.add("Div", x, writer.number(math.sqrt(2))))
    product = writer.add("Mul", x, writer.add("Add", erf, writer.number(1)))
    return writer.add("Mul", product, writer.number(0.5))


def _gelu_tanh(writer: Writer, x: str) -> str:
    if writer.options.opset >= 20:
        return writer.add("Gelu", x, approximate="tanh")
    cube = writer.add("Mul", writer.add("Mul", x, x), x)
    inner = writer.add("Add", x, writer.add("Mul", cube, writer.number(0.044715)))
    tanh = writer.add("Tanh", writer.add("Mul", inner, writer.number(math.sqrt(2 / math.pi))))
    product = writer.add("Mul", x, writer.add("Add", tanh, writer.number(1)))
    return writer.add("Mul", product, writer.number(0.5))


def _quick_gelu(writer: Writer, x: str) -> str:
    return writer.add("Mul", x, writer.add("Sigmoid", writer.add("Mul", x, writer.number(1.702))))


def _mish(writer: Writer, x: str) -> str:
    if writer.options.opset >= 18:
        return writer.add("Mish", x)
    return writer.add("Mul", x, writer.add("Tanh", writer.add("Softplus", x)))


def _log1p_relu(writer: Writer, x: str) -> str:
    return writer.add("Log", writer.add("Add", writer.add("Relu", x), writer.number(1)))


ACTIVATIONS: Mapping[str, Callable[[Writer, str], str]] = {
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "relu": lambda writer, x: writer.add("Relu", x),
    "tanh": lambda writer, x: writer.add("Tanh", x),
    "sigmoid": lambda writer, x: writer.add("Sigmoid", x),
    "silu": lambda writer, x: writer.add("Mul", x, writer.add("Sigmoid", x)),
    "quick_gelu": _quick_gelu,
    "mish": _mish,
    "log1p_relu": _log1p_relu,
}
"""The writer of each activation: from the name of ``x`` to that of the result."""
