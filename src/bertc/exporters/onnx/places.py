"""Vectors of the rows that are the first or the last token of their sequence, by the mask of tokens."""

from __future__ import annotations

import numpy as np

from bertc.exporters.onnx.writer import Writer
from bertc.ir.graph import Node


def token_numbers(writer: Writer) -> str:
    """Return the number of each token, counted from 1, and 0 for padding: float32 [batch, length, 1]."""

    def write() -> str:
        counted = writer.add("CumSum", writer.token_mask(), writer.integer(1))
        return writer.add("Mul", counted, writer.token_mask())

    return writer.once("token_numbers", write)


def is_last_token(writer: Writer) -> str:
    """Return whether each token is the last of its sequence: bool [batch, length, 1]."""

    def write() -> str:
        count = writer.add("ReduceSum", writer.token_mask(), writer.integers(1), keepdims=1)
        return writer.add("Equal", token_numbers(writer), count)

    return writer.once("is_last_token", write)


def by_place(writer: Writer, node: Node, operand: str) -> str:
    """Return a vector operand of a node, or for each token that of its place; "" if there is neither.

    The result is [columns], or [batch, length, columns]. The one token of a sequence of one is its first.
    """
    vector = writer.constant(node[operand]) if node[operand] else ""
    first, last = (node[f"{place}_{operand}"] for place in ("first", "last"))
    if not first and not last:
        return vector
    others = vector or writer.make(
        f"{first or last}.zeros", lambda: np.zeros_like(writer.graph.constants[first or last].array)
    )
    is_first = writer.once(
        "is_first_token", lambda: writer.add("Equal", token_numbers(writer), writer.number(1))
    )
    of_first = writer.constant(first) if first else others
    if last:
        others = writer.add("Where", is_last_token(writer), writer.constant(last), others)
    return writer.add("Where", is_first, of_first, others)
