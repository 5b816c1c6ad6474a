"""Rounds weights whose groups keep a bound, so that 16-bit sums of their products are exact.

``formulas.BOUNDS`` has the groups. Of each group the weight with the most important input is rounded first.
What the group has beyond the bound is taken from each in inverse proportion to its importance, where the sum
of the weighted squared errors is least; then each is clipped to what those before it have left.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bertc.ir import formulas

Array = np.ndarray[Any, Any]

GROUP_SIZE = {formulas.NONE: 1, formulas.PAIRS: 2, formulas.FOURS: 4}
"""The weights of a group."""
PERIOD = 8
"""After so many depths all groups start anew."""
SMALLEST_POWER = np.float32(1e-30)
"""The importance that each column has at least."""


def clip_to_room(numbers: Array, above: Array, below: Array) -> None:
    """Clip integers to what their groups leave above and below zero, and take them from that; in place."""
    np.minimum(numbers, above, out=numbers)
    np.maximum(numbers, below, out=numbers)
    above -= np.maximum(numbers, 0)
    below -= np.minimum(numbers, 0)


def share_excess(targets: Array, above: Array, below: Array, share: Array | float) -> Array:
    """Return the first of ``targets`` [rank, group], nearer to zero by ``share`` of what is beyond the room.

    That is of what the targets of a group, all that are left of it, have together beyond ``above`` or
    ``below``. None is moved past zero.
    """
    down = np.maximum(np.maximum(targets, 0).sum(axis=0) - above, 0) * share
    up = np.maximum(below - np.minimum(targets, 0).sum(axis=0), 0) * share
    lowered = np.maximum(targets[0] - down, np.minimum(targets[0], 0))
    return np.asarray(np.minimum(lowered + up, np.maximum(lowered, 0)))


def room(shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Return what groups have above and below zero before any of their weights is rounded: float32."""
    limit = np.float32(formulas.GROUP_LIMIT)
    return np.full(shape, limit), np.full(shape, -limit)


def may_exceed(bound: str, limit: int) -> bool:
    """Return whether the numbers of a group, each within -limit..limit, may break a bound."""
    return GROUP_SIZE[bound] * limit > formulas.GROUP_LIMIT


class RankedColumns:
    """The columns of a matrix by their rank in their group, so that those of one rank are rounded at once."""

    def __init__(self, power: Array, bound: str) -> None:
        """``power`` [in] is the importance of each column: that of the largest is rounded first."""
        self._count = len(power)
        padded = np.full(-(-self._count // PERIOD) * PERIOD, -1.0)
        padded[: self._count] = power
        order = np.argsort(-padded, kind="stable")
        groups = formulas.bounded_groups(len(padded), bound)[order]
        self.columns: Array = order[np.argsort(groups, kind="stable")].reshape(-1, GROUP_SIZE[bound]).T
        """The columns [rank, group]; those beyond the matrix are padding."""
        self.powers: Array = self.split(np.asarray(power, np.float32)[None])[:, 0]
        """The importance of each column: float32 [rank, group]."""

    def split(self, weight: Array) -> Array:
        """Return ``weight`` [out, in] as [rank, out, group], zeros where the matrix has no column."""
        padded = np.zeros((len(weight), self.columns.size), weight.dtype)
        padded[:, : self._count] = weight
        return np.ascontiguousarray(padded[:, self.columns].transpose(1, 0, 2))

    def join(self, ranks: Array) -> Array:
        """Undo :meth:`split`."""
        joined = np.empty((ranks.shape[1], self.columns.size), ranks.dtype)
        joined[:, self.columns] = ranks.transpose(1, 0, 2)
        return joined[:, : self._count]


def covering_scale(weight: Array, limit: int, bound: str) -> Array:
    """Return the scales float32 [out] of ``weight`` [out, in] with which only rounding exceeds ``bound``."""
    ranks = RankedColumns(np.ones(weight.shape[1]), bound).split(weight)
    sides = (np.maximum(sign * ranks, 0).sum(axis=0).max(axis=1) for sign in (1, -1))
    largest = formulas.largest_scale(weight, limit)
    covered = np.maximum(*sides) / np.float32(formulas.GROUP_LIMIT)
    return np.where(largest > 0, np.maximum(largest, covered), largest).astype(np.float32)


def round_ranks(ranks: Array, divisor: Array, powers: Array, limit: int) -> Array:
    """Round split weights [rank, out, group] to multiples of ``divisor`` [out]: whole numbers, float32.

    ``powers`` [rank, group] is the importance of each column.
    """
    targets = ranks / divisor[:, None]
    np.clip(targets, -limit, limit, out=targets)
    numbers = np.rint(targets)
    if len(ranks) > 1:
        # Twice the larger of the sums on either side of zero.
        beyond = np.abs(numbers).sum(axis=0) + np.abs(numbers.sum(axis=0)) > 2 * formulas.GROUP_LIMIT
        rows, groups = np.nonzero(beyond)
        numbers[:, rows, groups] = _round_beyond(targets[:, rows, groups], powers[:, groups])
    return np.asarray(numbers)


def _round_beyond(targets: Array, powers: Array) -> Array:
    """Round groups that are beyond the bound: ``targets`` and ``powers`` are [rank, group]."""
    inverse = 1 / np.maximum(powers, SMALLEST_POWER)
    above, below = room(targets.shape[1:])
    numbers = np.empty_like(targets)
    for rank in range(len(targets)):
        share = inverse[rank] / inverse[rank:].sum(axis=0)
        numbers[rank] = np.rint(share_excess(targets[rank:], above, below, share))
        clip_to_room(numbers[rank], above, below)
    return numbers


def round_bounded(weight: Array, scale: Array, power: Array, limit: int, bound: str) -> Array:
    """Round ``weight`` float32 [out, in] to multiples of ``scale`` [out], in the groups of ``bound``: int8.

    ``power`` [in] is the mean square of each input channel; numbers are within -limit..limit.
    """
    ranked = RankedColumns(power, bound)
    divisor = formulas.divisor_of(scale)
    numbers = round_ranks(ranked.split(weight), divisor, ranked.powers, limit)
    return ranked.join(numbers).astype(np.int8)
