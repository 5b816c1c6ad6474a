"""Weight clip search: a scale that cuts a channel's largest weight where that makes all others finer.

Nagel et al. 2021, "A White Paper on Neural Network Quantization", arXiv:2106.08295, sec. 3.1: the range with
the least mean squared error. Here each weight counts as much as its input is large, and where groups of
weights keep a bound, a coarser scale may be better than what the bound would cut.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bertc.ir import formulas
from bertc.quantize.bound import RankedColumns, round_ranks

Array = np.ndarray[Any, Any]

SHARES = tuple(1 - step / 50 for step in range(26))
"""The shares of the largest weight that are tried. With 8 bits, half is beyond any optimum seen."""
COARSER = tuple(1 + step / 25 for step in range(1, 26))
"""Those that are tried as well where groups are bounded: with twice the scale any pair keeps its bound."""
_BLOCK = 2**16
"""The weights that are tried at a time, so that they stay in a core's cache."""


def search_scale(weight: Array, power: Array, limit: int, bound: str = formulas.NONE) -> Array:
    """Return the scales [out] float32 of ``weight`` [out, in] with the least weighted squared error.

    ``power`` [in] is the mean square of each input channel; numbers are within -limit..limit, and keep
    ``bound``.
    """
    largest = formulas.largest_scale(weight, limit)
    shares = np.array(SHARES if bound == formulas.NONE else SHARES + COARSER, np.float32)
    ranked = RankedColumns(power, bound)
    powers = ranked.split(np.asarray(power, np.float32)[None])[:, 0]
    best = np.empty(len(weight), np.intp)
    rows = max(1, _BLOCK // weight.shape[1])
    for start in range(0, len(weight), rows):
        block = slice(start, start + rows)
        ranks = ranked.split(weight[block])
        errors = [_error(ranks, powers, share * largest[block], limit) for share in shares]
        best[block] = np.argmin(errors, axis=0)
    return (shares[best] * largest).astype(np.float32)


def _error(ranks: Array, powers: Array, scale: Array, limit: int) -> Array:
    """Return the weighted squared error of each row [out] of split weights [rank, out, group]."""
    divisor = np.where(scale > 0, scale, np.float32(1))
    difference = round_ranks(ranks, divisor, limit)
    difference *= divisor[:, None]
    difference -= ranks
    np.square(difference, out=difference)
    return np.einsum("rog,rg->o", difference, powers)
