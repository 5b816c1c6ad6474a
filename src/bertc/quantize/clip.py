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
BOUNDED_SHARES = tuple(2 ** (step / 6) for step in (0, *range(-1, -7, -1), *range(1, 7)))
"""Those that are tried where groups are bounded: with twice the scale any pair keeps its bound."""
REFINED = tuple(2 ** (sign / steps) for steps in (12, 24, 48) for sign in (1, -1))
"""What the best of them is then multiplied by, one after the other, where that is better."""
_BLOCK = 2**15
"""The weights that are tried at a time, so that they stay in a core's cache."""


def search_scale(weight: Array, power: Array, limit: int, bound: str = formulas.NONE) -> Array:
    """Return the scales [out] float32 of ``weight`` [out, in] with the least weighted squared error.

    ``power`` [in] is the mean square of each input channel; numbers are within -limit..limit, and keep
    ``bound``.
    """
    largest = formulas.largest_scale(weight, limit)
    bounded = bound != formulas.NONE
    ranked = RankedColumns(power, bound)
    best = largest.copy()
    rows = max(1, _BLOCK // weight.shape[1])
    for start in range(0, len(weight), rows):
        block = slice(start, start + rows)
        ranks, least = ranked.split(weight[block]), np.full(len(weight[block]), np.inf, np.float32)
        for share in BOUNDED_SHARES if bounded else SHARES:
            _keep_better(best[block], least, np.float32(share) * largest[block], ranks, ranked.powers, limit)
        for factor in REFINED if bounded else ():
            _keep_better(best[block], least, np.float32(factor) * best[block], ranks, ranked.powers, limit)
    return best


def _keep_better(best: Array, least: Array, scale: Array, ranks: Array, powers: Array, limit: int) -> None:
    """Put ``scale`` [out] and its errors into ``best`` and ``least`` where its errors are smaller."""
    error = _error(ranks, powers, scale, limit)
    better = error < least
    best[better], least[better] = scale[better], error[better]


def _error(ranks: Array, powers: Array, scale: Array, limit: int) -> Array:
    """Return the weighted squared error of each row [out] of split weights [rank, out, group]."""
    divisor = formulas.divisor_of(scale)
    difference = round_ranks(ranks, divisor, powers, limit)
    difference *= divisor[:, None]
    difference -= ranks
    np.square(difference, out=difference)
    return np.asarray(np.einsum("rog,rg->o", difference, powers))
