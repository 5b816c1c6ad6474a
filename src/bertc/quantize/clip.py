"""Weight clip search: a scale that cuts a channel's largest weight where that makes all others finer.

Nagel et al. 2021, "A White Paper on Neural Network Quantization", arXiv:2106.08295, sec. 3.1: the range with
the least mean squared error. Here each weight counts as much as its input is large.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bertc.ir import formulas

Array = np.ndarray[Any, Any]

SHARES = tuple(1 - step / 50 for step in range(26))
"""The shares of the largest weight that are tried. With 8 bits, half is beyond any optimum seen."""


def search_scale(weight: Array, power: Array, limit: int) -> Array:
    """Return the scales [out] float32 of ``weight`` [out, in] with the least weighted squared error.

    ``power`` [in] is the mean square of each input channel; numbers are within -limit..limit.
    """
    largest = formulas.largest_scale(weight, limit)
    best_scale = largest
    best_error = np.full(len(weight), np.inf)
    for share in SHARES:
        scale = (share * largest).astype(np.float32)
        rounded = formulas.dequantize_per_channel(formulas.round_to_scale(weight, scale, limit), scale)
        error = ((weight - rounded) ** 2) @ power
        better = error < best_error
        best_error = np.where(better, error, best_error)
        best_scale = np.where(better, scale, best_scale)
    return best_scale
