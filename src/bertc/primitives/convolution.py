"""Convolution over one axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bertc.primitives.dim import Shape
from bertc.primitives.primitive import INTEGER, INTEGERS, Operand, Primitive, ShapeError, spell

Array = np.ndarray[Any, Any]

_MOST_PADDING = 2**16
"""The most zeros before or after: far beyond any model, and small enough for any memory."""


def _conv1d(
    x: Array, weight: Array, *, stride: int, pads: Sequence[int], dilation: int, groups: int
) -> Array:
    """Convolve [batch, channels, length] with [out, channels / groups, taps]: a matrix product per tap."""
    before, after = pads
    padded = np.pad(x, ((0, 0), (0, 0), (before, after)))
    batch, channels, length = padded.shape
    out, inner, taps = weight.shape
    count = (length - dilation * (taps - 1) - 1) // stride + 1
    columns = padded.reshape(batch, groups, channels // groups, length)
    rows = weight.reshape(groups, out // groups, inner, taps)
    total = np.zeros((batch, groups, out // groups, count), np.result_type(x, weight))
    for tap in range(taps):
        first = tap * dilation
        total += np.matmul(rows[..., tap], columns[..., first : first + (count - 1) * stride + 1 : stride])
    return total.reshape(batch, out, count)


def _conv1d_rule(operands: Sequence[Operand], attributes: Mapping[str, Any]) -> Shape:
    x, weight = operands[0].shape, operands[1].shape
    stride, dilation, groups = (attributes[name] for name in ("stride", "dilation", "groups"))
    before, after = attributes["pads"]
    if (
        len(x) != 3
        or len(weight) != 3
        or min(stride, dilation, groups) < 1
        or not 0 <= min(before, after) <= max(before, after) <= _MOST_PADDING
        or x[1] != weight[1] * groups
        or weight[0] % groups
    ):
        raise ShapeError(f"{spell(x)} cannot be convolved with {spell(weight)} in {groups} groups")
    covered = x[2] + (before + after - dilation * (weight[2] - 1) - 1)
    return (x[0], weight[0], covered + 1 if stride == 1 else covered // stride + 1)


ROWS = (
    Primitive(
        "conv1d",
        _conv1d,
        _conv1d_rule,
        {"stride": INTEGER, "pads": INTEGERS, "dilation": INTEGER, "groups": INTEGER},
    ),
)
