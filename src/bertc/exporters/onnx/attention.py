"""Attention as plain products, a softmax and an additive mask."""

from __future__ import annotations

from typing import Any

import numpy as np

from bertc.errors import InputError
from bertc.exporters.onnx.writer import FLOAT, MASKED, Writer
from bertc.ir.graph import Constant, Node

Array = np.ndarray[Any, Any]


def attention(writer: Writer, node: Node) -> str:
    """Append attention on ``qkv``; return the name of the result, float32 [batch, length, hidden]."""
    heads, qkv = int(node.attributes["num_attention_heads"]), writer.read(node["qkv"])
    sharers = int(node.attributes.get("num_key_value_heads", 0)) or heads
    size = writer.columns(node["qkv"]) // (heads + 2 * sharers)
    width, shared = heads * size, sharers * size
    parts = writer.add_all("Split", 3, qkv, writer.integers(width, shared, shared), axis=-1)
    query, key, value = (
        writer.add("Transpose", writer.add("Reshape", part, writer.shape(count, size)), perm=(0, 2, 1, 3))
        for part, count in zip(parts, (heads, sharers, sharers), strict=True)
    )
    if node["rotary"]:
        query, key = (_turned(writer, node["rotary"], each, size) for each in (query, key))
    if sharers < heads:
        of_each = writer.integers(*np.repeat(np.arange(sharers), heads // sharers).tolist())
        key, value = (writer.add("Gather", each, of_each, axis=1) for each in (key, value))
    scores = writer.add("MatMul", query, writer.add("Transpose", key, perm=(0, 1, 3, 2)))
    if node["buckets"]:
        scores = _disentangled(writer, node, scores, query, key)
    scores = writer.add("Mul", scores, writer.number(float(node.attributes["scale"])))
    if node["distance_bias"]:
        scores = writer.add("Add", scores, _by_distance(writer, node["distance_bias"]))
    if node["slopes"]:
        scores = writer.add("Add", scores, _fall(writer, node["slopes"]))
    if node.attributes.get("window"):
        scores = writer.add("Add", scores, _window(writer, int(node.attributes["window"])))
    scores = writer.add("Add", scores, writer.attention_bias())
    mixed = writer.add("MatMul", writer.add("Softmax", scores, axis=-1), value)
    return writer.add("Reshape", writer.add("Transpose", mixed, perm=(0, 2, 1, 3)), writer.shape(width))


def _disentangled(writer: Writer, node: Node, scores: str, query: str, key: str) -> str:
    """Return scores with what queries and keys give with the rows that their distances name.

    Products with all rows [batch, heads, length, rows] are gathered by distance.
    """
    heads = int(node.attributes["num_attention_heads"])
    rows, shape = _by_distance(writer, node["buckets"]), writer.add("Shape", scores)
    for operand, content in (("position_keys", query), ("position_queries", key)):
        if not node[operand]:
            continue
        table = writer.graph.constants[node[operand]]

        def of_heads(table: Constant = table) -> Array:
            return table.array.reshape(table.source.shape[0], heads, -1).transpose(1, 2, 0)

        product = writer.add("MatMul", content, writer.make(f"{node[operand]}.heads", of_heads))
        index = rows if content == query else writer.add("Transpose", rows, perm=(0, 2, 1))
        found = writer.add("GatherElements", product, writer.add("Expand", index, shape), axis=3)
        if content == key:
            found = writer.add("Transpose", found, perm=(0, 1, 3, 2))
        scores = writer.add("Add", scores, found)
    return scores


def _turned(writer: Writer, rotary: str, x: str, size: int) -> str:
    """Return heads [batch, heads, length, size] whose pairs of columns are turned by their positions."""
    table = writer.graph.constants[rotary]
    pairs, length = table.source.shape[1] // 2, writer.options.length
    if length is not None and length > table.source.shape[0]:
        raise InputError(
            f"length is {length}, the model has positions for {table.source.shape[0]} tokens: choose fewer"
        )
    cosine, sine = (_angles(writer, rotary, slice(first, first + pairs)) for first in (0, pairs))
    sizes = [pairs, pairs, *([size - 2 * pairs] if size > 2 * pairs else [])]
    left, right, *others = writer.add_all("Split", len(sizes), x, writer.integers(*sizes), axis=-1)
    turned = [
        writer.add(op, writer.add("Mul", a, cosine), writer.add("Mul", b, sine))
        for op, a, b in (("Sub", left, right), ("Add", right, left))
    ]
    return writer.add("Concat", *turned, *others, axis=-1)


def _angles(writer: Writer, rotary: str, columns: slice) -> str:
    """Return some columns of the table of angles: float32 [length, pairs]."""
    table, length = writer.graph.constants[rotary], writer.options.length
    name = f"{rotary}.{columns.start}"
    whole = writer.make(name, lambda: table.array[:length, columns].astype(np.float32))
    if length is not None:
        return whole
    zero = writer.integers(0)
    return writer.once(f"{name}.rows", lambda: writer.add("Slice", whole, zero, writer.length(), zero))


def _window(writer: Writer, window: int) -> str:
    """Return what is added to scores by a window: 0, or what is for padding; float32 [length, length]."""
    length, name = writer.options.length, f"window.{window}"

    def make() -> Array:
        places = np.arange(length or 0)
        far = np.abs(places[None, :] - places[:, None]) > window
        return np.where(far, np.float32(MASKED), np.float32(0))

    def write() -> str:
        far = writer.add("Greater", writer.add("Abs", _distances(writer)), writer.integer(window))
        return writer.add("Where", far, writer.number(MASKED), writer.number(0.0))

    return writer.make(name, make) if length is not None else writer.once(name, write)


def _distances(writer: Writer) -> str:
    """Return how many tokens each key is after each query: int64 [length, length]."""

    def write() -> str:
        end = writer.add("Squeeze", writer.length(), writer.integers(0))
        places = writer.add("Range", writer.integer(0), end, writer.integer(1))
        keys, queries = (writer.add("Unsqueeze", places, writer.integers(axis)) for axis in (0, 1))
        return writer.add("Sub", keys, queries)

    return writer.once("distances", write)


def _fall(writer: Writer, slopes: str) -> str:
    """Return what scores lose by the distance from query to key: float32 [heads, length, length]."""
    length, falls = writer.options.length, -writer.graph.constants[slopes].array[:, None, None]

    def make() -> Array:
        places = np.arange(length or 0)
        return np.asarray(falls * np.abs(places[None, :] - places[:, None]), np.float32)

    def write() -> str:
        distances = writer.add("Cast", writer.add("Abs", _distances(writer)), to=FLOAT)
        return writer.add("Mul", distances, writer.make(slopes, lambda: falls))

    name = f"{slopes}.by_distance"
    return writer.make(name, make) if length is not None else writer.once(name, write)


def _by_distance(writer: Writer, name: str) -> str:
    """Return a constant's columns for the distances from query to key: [rows, length, length].

    Column ``reach + d`` of the constant [rows, 2 reach + 1] is for the key d tokens after the query; its
    first and last column are for all that are farther away, too. Integers become int64.
    """
    reach, length = writer.graph.constants[name].source.shape[1] // 2, writer.options.length

    def table() -> Array:
        array = writer.graph.constants[name].array
        return array.astype(np.int64) if array.dtype.kind == "i" else array

    def make() -> Array:
        places = np.arange(length or 0)
        distances = np.clip(places[None, :] - places[:, None], -reach, reach)
        return table()[:, distances + reach]

    def write() -> str:
        distances = writer.add("Clip", _distances(writer), writer.integer(-reach), writer.integer(reach))
        columns = writer.add("Add", distances, writer.integer(reach))
        return writer.add("Gather", writer.make(name, table), columns, axis=1)

    if length is not None:
        return writer.make(f"{name}.by_distance", make)
    return writer.once(f"{name}.by_distance", write)
