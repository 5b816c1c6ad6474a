"""THE table of primitives: what a foreign graph is made of, and a region that runs on the host, one row each.

A row is a NumPy function, which is what the primitive means, and a shape rule. Most functions take arrays of
symbolic sizes too: that is how shape arithmetic is evaluated.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bertc.primitives import convolution, elementwise, movement, reductions, shapes
from bertc.primitives.primitive import Operand, Primitive, ShapeError

PRIMITIVES: Mapping[str, Primitive] = MappingProxyType(
    {
        row.name: row
        for row in (*convolution.ROWS, *elementwise.ROWS, *movement.ROWS, *reductions.ROWS, *shapes.ROWS)
    }
)
"""The rows by name."""

__all__ = ["PRIMITIVES", "Operand", "Primitive", "ShapeError"]
