"""Bias correction: the mean error of a quantized layer is taken off its bias.

Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction",
arXiv:1906.04721, sec. 4.2, with the means of calibration (appendix D). An error that is the same for every
token adds up from layer to layer, where errors of random sign mostly cancel.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def correct_bias(
    bias: Array, weight: Array, mean: Array, rounded_weight: Array, rounded_mean: Array
) -> Array:
    """Return the bias [out] with which the layer's mean output is exact: ``W mean + b = W' mean' + b'``.

    ``weight`` [out, in] with the mean of its input [in], and the same of the quantized layer: its weights
    times their scales, and the mean of its input after rounding.
    """
    expected = weight.astype(np.float64) @ mean
    found = rounded_weight.astype(np.float64) @ rounded_mean
    return np.asarray(bias + expected - found, np.float32)
