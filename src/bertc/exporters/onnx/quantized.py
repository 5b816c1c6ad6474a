"""Ops in 8 bits: activations uint8 with one scale and zero point, weights int8 with a scale per channel.

As ``qdq``, a product stands between ``DequantizeLinear`` nodes, which a compiler fuses into it. As
``qoperator``, it is ``MatMulInteger``, which adds up 32 bits as our kernels do. (``QLinearMatMul`` would
round its result to 8 bits again, before bias and residual, by one more scale.)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bertc.exporters.onnx.operators import finish_linear, normalize_rows
from bertc.exporters.onnx.options import QDQ
from bertc.exporters.onnx.places import by_place
from bertc.exporters.onnx.rounding import quantize, scale_and_zero_point, store
from bertc.exporters.onnx.writer import FLOAT, Write, Writer
from bertc.ir import formulas
from bertc.ir.graph import Node
from bertc.ports import CU_SEQLENS

Array = np.ndarray[Any, Any]


def _layer_norm_quantize(writer: Writer, node: Node) -> None:
    """Write both results; a change of the channels is part of the layer norm if nothing else reads it."""
    plain, q = node.outputs[:2]
    if {"multiplier", "offset"} <= node.inputs.keys() and not (node[CU_SEQLENS] or writer.is_read(plain)):
        gamma, beta = _changed_vectors(writer, node)
        quantize(writer, node, q, normalize_rows(writer, node, gamma, beta))
        return
    gamma, beta = (writer.constant(node[name]) for name in ("gamma", "beta"))
    writer.bind(plain, normalize_rows(writer, node, gamma, beta))
    quantize(writer, node, q, _changed(writer, node, writer.read(plain)))


def _changed_vectors(writer: Writer, node: Node) -> tuple[str, str]:
    """Return the layer norm's vectors with the change of the channels in them."""
    gamma, beta, multiplier, offset = (
        writer.graph.constants[node[name]].array for name in ("gamma", "beta", "multiplier", "offset")
    )
    return (
        writer.make(f"{node['gamma']}.{node['multiplier']}", lambda: gamma * multiplier),
        writer.make(f"{node['beta']}.{node['offset']}", lambda: beta * multiplier + offset),
    )


def _quantize_rows(writer: Writer, node: Node) -> None:
    quantize(writer, node, node.outputs[0], _changed(writer, node, writer.read(node["x"])))


def _changed(writer: Writer, node: Node, x: str) -> str:
    """Append the change of the channels that precedes rounding, if there is one."""
    if "multiplier" in node.inputs:
        x = writer.add("Mul", x, writer.constant(node["multiplier"]))
    offset = by_place(writer, node, "offset")
    return writer.add("Add", x, offset) if offset else x


def _linear(writer: Writer, node: Node) -> None:
    product = _dequantized if writer.options.format == QDQ else _in_integers
    out = finish_linear(writer, node, product(writer, node))
    store(writer, node, _changed(writer, node, out))


def _dequantized(writer: Writer, node: Node) -> str:
    x = writer.read(node["x"])
    x = writer.add("DequantizeLinear", x, *scale_and_zero_point(writer, writer.static[node["x"]]))
    scale, weight = _weight_scale(writer, node), writer.matrix(node["weight"])
    zeros = writer.make(
        f"{node['weight']}.zero_point",
        lambda: np.zeros(writer.graph.constants[node["weight"]].source.shape[0], np.int8),
    )
    name = writer.make(node["weight_scale"], lambda: scale)
    return writer.add("MatMul", x, writer.add("DequantizeLinear", weight, name, zeros, axis=1))


def _in_integers(writer: Writer, node: Node) -> str:
    static = writer.static[node["x"]]
    _, zero_point = scale_and_zero_point(writer, static)
    sums = writer.add("MatMulInteger", writer.read(node["x"]), writer.matrix(node["weight"]), zero_point)
    scale, weight_scale = writer.graph.constants[static].array[0], _weight_scale(writer, node)
    name = writer.make(f"{node['weight_scale']}.{static}", lambda: scale * weight_scale)
    return writer.add("Mul", writer.add("Cast", sums, to=FLOAT), name)


def _weight_scale(writer: Writer, node: Node) -> Array:
    """Return a scale for each channel, by which some divide."""
    return formulas.divisor_of(writer.graph.constants[node["weight_scale"]].array)


QUANTIZED: Mapping[str, Write] = {
    "layer_norm_quantize": _layer_norm_quantize,
    "quantize_rows": _quantize_rows,
    "linear_int8": _linear,
}
"""The writer of each op in 8 bits."""
