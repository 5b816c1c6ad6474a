"""Attention as plain products, a softmax and an additive mask."""

from __future__ import annotations

from typing import Any

import numpy as np

from bertc.exporters.onnx.writer import Writer
from bertc.ir.graph import Node

Array = np.ndarray[Any, Any]


def attention(writer: Writer, node: Node) -> str:
    """Append attention on ``qkv``; return the name of the result, float32 [batch, length, hidden]."""
    heads, qkv = int(node.attributes["num_attention_heads"]), writer.read(node["qkv"])
    width = writer.columns(node["qkv"]) // 3
    parts = writer.add_all("Split", 3, qkv, writer.integers(width, width, width), axis=-1)
    query, key, value = (
        writer.add("Transpose", writer.add("Reshape", part, writer.shape(heads, width // heads)), perm=axes)
        for part, axes in zip(parts, ((0, 2, 1, 3), (0, 2, 3, 1), (0, 2, 1, 3)), strict=True)
    )
    scores = writer.add("MatMul", query, key)
    scores = writer.add("Mul", scores, writer.number(float(node.attributes["scale"])))
    if node["distance_bias"]:
        scores = writer.add("Add", scores, _distance_bias(writer, node["distance_bias"]))
    scores = writer.add("Add", scores, writer.attention_bias())
    mixed = writer.add("MatMul", writer.add("Softmax", scores, axis=-1), value)
    return writer.add("Reshape", writer.add("Transpose", mixed, perm=(0, 2, 1, 3)), writer.shape(width))


def _distance_bias(writer: Writer, name: str) -> str:
    """Return the bias of each head by the distance from query to key: float32 [heads, length, length].

    Column ``reach + d`` of the constant [heads, 2 reach + 1] is for the key d tokens after the query; its
    first and last column are for all that are farther away, too.
    """
    reach, length = writer.graph.constants[name].source.shape[1] // 2, writer.options.length

    def make() -> Array:
        places = np.arange(length or 0)
        distances = np.clip(places[None, :] - places[:, None], -reach, reach)
        return np.asarray(writer.graph.constants[name].array[:, distances + reach], np.float32)

    def write() -> str:
        end = writer.add("Squeeze", writer.length(), writer.integers(0))
        places = writer.add("Range", writer.integer(0), end, writer.integer(1))
        keys, queries = (writer.add("Unsqueeze", places, writer.integers(axis)) for axis in (0, 1))
        distances = writer.add("Sub", keys, queries)
        distances = writer.add("Clip", distances, writer.integer(-reach), writer.integer(reach))
        columns = writer.add("Add", distances, writer.integer(reach))
        return writer.add("Gather", writer.constant(name), columns, axis=1)

    if length is not None:
        return writer.make(f"{name}.by_distance", make)
    return writer.once(f"{name}.by_distance", write)
