"""The signal-to-noise ratio of one array to another, by its definition."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def sqnr_db(reference: Array, approximation: Array) -> float:
    """``10 log10(sum ref^2 / sum (ref - approx)^2)``: infinite if the two are equal."""
    assert reference.shape == approximation.shape and reference.size
    exact = reference.astype(np.float64)
    noise = float(((exact - approximation) ** 2).sum())
    signal = float((exact**2).sum())
    if noise == 0:
        return float("inf")
    return float(10 * np.log10(signal / noise)) if signal else float("-inf")
