"""The vectors that a model gave: what says at once that all of them are numbers, and their length made 1."""

from __future__ import annotations

from typing import Any

import numpy as np

from bertc import _native

Array = np.ndarray[Any, Any]


def squares_of(rows: Array) -> tuple[float, float]:
    """Return the least sum of the squares of a row, and that of all rows, float32 [rows, columns].

    The second is infinite or NaN as soon as one of the numbers is.
    """
    return _native.squares_of(rows)


def normalized(rows: Array) -> Array:
    """Return rows [rows, columns] divided by their length, or by 1e-12 where that is larger: float32."""
    unit = np.empty(rows.shape, np.float32)
    _native.unit_rows(np.ascontiguousarray(rows, np.float32), unit)
    return unit
