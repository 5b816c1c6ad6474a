"""GPTQ: weights rounded one column after the other, each making up for the errors before it.

Frantar et al. 2022, "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained
Transformers", arXiv:2210.17323, algorithm 1. Rounding to nearest minimizes the error of the weights;
what matters is the error of the products, ``(W - Q) H (W - Q)^T`` with H the second moment of the
layer's input. Once a column is rounded, the columns not yet rounded move to where they undo most of
its error.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bertc.ir import formulas
from bertc.quantize.bound import clip_to_room, room, share_excess

Array = np.ndarray[Any, Any]

DAMPING = 0.01
"""The share of its mean that is added to H's diagonal: channels that calibration never moved stay. The
paper's value."""
BLOCK = 128
"""The columns between two updates of all columns to the right: the paper's value, where one matrix
product replaces 128 passes over the weights."""


def round_gptq(
    weight: Array, scale: Array, moment: Array, limit: int = 127, bound: str = formulas.NONE
) -> Array:
    """Round ``weight`` float32 [out, in] to multiples of ``scale`` [out]: int8, within -limit..limit.

    ``moment`` float64 [in, in] is the second moment of the input. Columns go in the order of falling
    moment, so that those which matter most are rounded while many others can still make up for them. What
    is clipped to keep ``bound`` is an error like any other: later columns make up for it.
    """
    order = np.argsort(-np.diag(moment), kind="stable")
    factor, freedom = _error_propagation(moment[np.ix_(order, order)])
    left = np.ascontiguousarray(weight[:, order].T)
    divisor = formulas.divisor_of(scale)
    rounded = np.empty(left.shape, np.int8)
    groups = formulas.bounded_groups(len(order), bound)[order]
    above, below = room((int(groups.max()) + 1, len(weight)))
    neighbors = [row + np.flatnonzero(groups[row:] == group) for row, group in enumerate(groups)]
    for start in range(0, len(left), BLOCK):
        stop = min(start + BLOCK, len(left))
        errors = np.empty((stop - start, left.shape[1]), np.float32)
        for row in range(start, stop):
            if bound == formulas.NONE:
                numbers = np.clip(np.rint(left[row] / divisor), -limit, limit)
            else:
                room_left = above[groups[row]], below[groups[row]]
                targets = np.clip(left[neighbors[row]] / divisor, -limit, limit)
                share = freedom[row] / freedom[neighbors[row]].sum()
                numbers = np.rint(share_excess(targets, *room_left, share))
                clip_to_room(numbers, *room_left)
            rounded[row] = numbers
            error = left[row] - numbers * divisor
            left[row + 1 : stop] -= factor[row, row + 1 : stop, None] * error
            errors[row - start] = error
        left[stop:] -= factor[start:stop, stop:].T @ errors
    result = np.empty_like(weight, dtype=np.int8)
    result[:, order] = rounded.T
    return result


def _error_propagation(moment: Array) -> tuple[Array, Array]:
    """Return how far each later column moves for an error of 1 in an earlier one: upper, float32.

    Row j of the upper Cholesky factor of ``moment``'s inverse, over its diagonal element. The factor
    is the inverse of that of the moment with rows and columns in reverse order. The second result has the
    squares of the diagonal, float32: once the later columns have moved, an error of e costs e^2 over that.
    """
    damped = moment + np.eye(len(moment)) * max(DAMPING * float(np.diag(moment).mean()), 1e-30)
    reverse = np.linalg.cholesky(damped[::-1, ::-1])[::-1, ::-1]
    upper = np.linalg.inv(reverse)
    diagonal = np.diag(upper)
    return np.asarray(np.triu(upper) / diagonal[:, None], np.float32), np.asarray(diagonal**2, np.float32)
