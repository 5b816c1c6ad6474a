"""How each op of ours is written in floating point: a table of functions; ``quantized.py`` has the others."""

from __future__ import annotations

from collections.abc import Mapping

from bertc.exporters.onnx.activations import activate
from bertc.exporters.onnx.attention import attention
from bertc.exporters.onnx.embeddings import embed
from bertc.exporters.onnx.places import by_place
from bertc.exporters.onnx.pooling import pool
from bertc.exporters.onnx.rounding import store
from bertc.exporters.onnx.writer import Write, Writer
from bertc.ir.graph import Node


def layer_norm(writer: Writer, node: Node) -> None:
    """Write a layer norm; its first output is the plain result, in bf16's form too where a graph asks."""
    gamma, beta = (writer.constant(node[name]) for name in ("gamma", "beta"))
    name = normalize_rows(writer, node, gamma, beta)
    for value in node.outputs:
        writer.bind(value, name)
        name = writer.read(value)


def normalize_rows(writer: Writer, node: Node, gamma: str, beta: str) -> str:
    """Append a layer norm with these vectors; return its result."""
    x, epsilon = writer.read(node["x"]), float(node.attributes["epsilon"])
    if node.attributes.get("rms"):
        squares = writer.add("ReduceSum", writer.add("Mul", x, x), writer.integers(-1))
        mean = writer.add("Div", squares, writer.number(float(writer.columns(node["x"]))))
        root = writer.add("Sqrt", writer.add("Add", mean, writer.number(epsilon)))
        return writer.add("Add", writer.add("Mul", writer.add("Div", x, root), gamma), beta)
    if writer.options.opset >= 17:
        return writer.add("LayerNormalization", x, gamma, beta, axis=-1, epsilon=epsilon)
    centered = writer.add("Sub", x, writer.add("ReduceMean", x, axes=[-1]))
    variance = writer.add("ReduceMean", writer.add("Mul", centered, centered), axes=[-1])
    root = writer.add("Sqrt", writer.add("Add", variance, writer.number(epsilon)))
    scaled = writer.add("Mul", writer.add("Div", centered, root), gamma)
    return writer.add("Add", scaled, beta)


def linear(writer: Writer, node: Node) -> None:
    """Write a linear layer; weights that were rounded to bf16 are multiplied in float32."""
    product = writer.add("MatMul", writer.read(node["x"]), writer.matrix(node["weight"]))
    writer.bind(node.outputs[0], finish_linear(writer, node, product))


def finish_linear(writer: Writer, node: Node, product: str) -> str:
    """Append bias, activation, what a gate is multiplied by, and residual; return the result."""
    out, value = writer.add("Add", product, by_place(writer, node, "bias")), ""
    if node.attributes.get("gated"):
        width = writer.columns(node.outputs[0])
        out, value = writer.add_all("Split", 2, out, writer.integers(width, width), axis=-1)
    out = activate(writer, str(node.attributes["activation"]), out)
    out = writer.add("Mul", out, value) if value else out
    return writer.add("Add", out, writer.read(node["residual"])) if node["residual"] else out


def _attention(writer: Writer, node: Node) -> None:
    store(writer, node, attention(writer, node))


def _normalize(writer: Writer, node: Node) -> None:
    x = writer.read(node["x"])
    squares = writer.add("ReduceSum", writer.add("Mul", x, x), writer.integers(-1))
    norm = writer.add("Max", writer.add("Sqrt", squares), writer.number(1e-12))
    writer.bind(node.outputs[0], writer.add("Div", x, norm))


def _concat(writer: Writer, node: Node) -> None:
    parts = (writer.read(node[operand]) for operand in ("a", "b"))
    writer.bind(node.outputs[0], writer.add("Concat", *parts, axis=-1))


def _same(writer: Writer, node: Node) -> None:
    """Write nothing: a padded graph selects all tokens, and keeps float32 where ours rounds to bf16."""
    writer.bind(node.outputs[0], writer.read(node["x"]))


OPERATORS: Mapping[str, Write] = {
    "embed": embed,
    "layer_norm": layer_norm,
    "layer_norm_bf16": layer_norm,
    "linear": linear,
    "linear_bf16": linear,
    "attention": _attention,
    "cast_bf16": _same,
    "pool": pool,
    "select_rows": _same,
    "concat": _concat,
    "normalize": _normalize,
}
"""The writer of each op."""
