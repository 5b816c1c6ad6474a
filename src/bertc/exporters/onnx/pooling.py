"""Poolings of padded sequences: what ``bertc.ir.reference.POOLINGS`` are on packed ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bertc.exporters.onnx.places import is_last_token, token_numbers
from bertc.exporters.onnx.writer import FLOAT, Writer
from bertc.ir.graph import Node


def pool(writer: Writer, node: Node) -> None:
    """Write [batch, hidden] from [batch, length, hidden]."""
    x = writer.read(node["x"])
    writer.bind(node.outputs[0], POOLINGS[str(node.attributes["mode"])](writer, x))


def _first(writer: Writer, x: str) -> str:
    return writer.add("Gather", x, writer.integer(0), axis=1)


def _sum(writer: Writer, x: str, weights: str = "") -> str:
    """Return the sum of the tokens, each with its weight [batch, length, 1]: by default the mask's 0 or 1."""
    weighted = writer.add("Mul", x, weights or writer.token_mask())
    return writer.add("ReduceSum", weighted, writer.integers(1), keepdims=0)


def _total(writer: Writer, weights: str) -> str:
    """Return the sum of each sequence's weights, [batch, 1]; at least 1, for a sequence of padding alone."""
    total = writer.add("ReduceSum", weights, writer.integers(1), keepdims=0)
    return writer.add("Max", total, writer.number(1))


def _mean(writer: Writer, x: str) -> str:
    return writer.add("Div", _sum(writer, x), _total(writer, writer.token_mask()))


def _over_root(writer: Writer, x: str) -> str:
    return writer.add("Div", _sum(writer, x), writer.add("Sqrt", _total(writer, writer.token_mask())))


def _max(writer: Writer, x: str) -> str:
    def write() -> str:
        bias = writer.add("Squeeze", writer.attention_bias(), writer.integers(1))
        return writer.add("Transpose", bias, perm=(0, 2, 1))

    hidden = writer.add("Add", x, writer.once("token_bias", write))
    if writer.options.opset >= 18:
        return writer.add("ReduceMax", hidden, writer.integers(1), keepdims=0)
    return writer.add("ReduceMax", hidden, axes=[1], keepdims=0)


def _last(writer: Writer, x: str) -> str:
    last = writer.once("last_token", lambda: writer.add("Cast", is_last_token(writer), to=FLOAT))
    return _sum(writer, x, last)


def _weighted_mean(writer: Writer, x: str) -> str:
    numbers = token_numbers(writer)
    return writer.add("Div", _sum(writer, x, numbers), _total(writer, numbers))


POOLINGS: Mapping[str, Callable[[Writer, str], str]] = {
    "cls": _first,
    "mean": _mean,
    "max": _max,
    "lasttoken": _last,
    "sum": _sum,
    "mean_sqrt_len_tokens": _over_root,
    "weightedmean": _weighted_mean,
}
"""The writer of each mode: from the name of ``x`` to that of the result."""
