"""Rounds values to uint8 by the scale and zero point that a graph has for them."""

from __future__ import annotations

import numpy as np

from bertc.errors import InputError
from bertc.exporters.onnx.writer import Writer
from bertc.ir.graph import Node


def store(writer: Writer, node: Node, out: str) -> None:
    """Write the result of a node as the node stores it: in 8 bits if it has a static scale."""
    if node["static"]:
        quantize(writer, node, node.outputs[0], out)
    else:
        writer.bind(node.outputs[0], out)


def quantize(writer: Writer, node: Node, value: str, x: str) -> None:
    """Write ``x`` in 8 bits as a value of our graph. Raises ``InputError`` without a static scale."""
    if not node["static"]:
        raise InputError(
            f"{node.name} finds the range of each token while it runs, ONNX takes one for all tokens: export"
            " the checkpoint, whose ranges are calibrated then, or a file that was compiled with"
            " activations.mode static"
        )
    writer.static[value] = node["static"]
    writer.bind(value, writer.add("QuantizeLinear", x, *scale_and_zero_point(writer, node["static"])))


def scale_and_zero_point(writer: Writer, static: str) -> tuple[str, str]:
    """Return the two halves of a static scale: float32 and uint8 scalars."""
    scale, zero_point = writer.graph.constants[static].array
    return (
        writer.make(f"{static}.scale", lambda: np.array(scale, np.float32)),
        writer.make(f"{static}.zero_point", lambda: np.array(zero_point, np.uint8)),
    )
