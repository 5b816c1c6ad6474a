"""Orders a layer's input channels so that large weights of one sign do not meet in a bounded group.

Which weights share a bound (``formulas.BOUNDS``) is a matter of the order of channels. Where they may be
moved (``move_channels.py``), the groups that lose least are looked for: a matching of least cost, for fours
another one of the pairs. The cost of two is what they have together beyond the bound, squared, in all output
channels; an exponential stands for the square, since it makes the costs of all pairs one product of matrices.
Where channels stay, their signs may change: weights of opposite sign never meet the limit.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from bertc.ir import formulas
from bertc.quantize.bound import GROUP_SIZE, PERIOD, SMALLEST_POWER, RankedColumns

Array = np.ndarray[Any, Any]

STEEPNESS = np.float32(0.1)
"""How fast the cost grows: by e for ten more of the sum of two numbers."""
ROUNDS = 8
"""How often pairs may exchange members."""


def choose_order(weight: Array, power: Array, limit: int, bound: str, heads: tuple[int, int]) -> Array:
    """Return the order of channels, int [in], in which ``weight`` float32 [out, in] exceeds ``bound`` least.

    ``power`` [in] is the importance of each channel; numbers are within -limit..limit. Of ``heads``, as
    ``edges.heads_of_queries_and_values`` counts them, each keeps its channels, and those that share values
    have one order.
    """
    count, own = heads
    size = weight.shape[1] // count
    order = np.arange(weight.shape[1]).reshape(own, count // own, size)
    if size % PERIOD:
        return order.reshape(-1)
    scale = formulas.largest_scale(weight, limit)
    numbers = (weight / formulas.divisor_of(scale)[:, None]).reshape(-1, own, count // own, size)
    powers = np.asarray(power, np.float32).reshape(own, count // own, size).mean(axis=1)
    for head in range(own):
        rows = numbers[:, head].reshape(-1, size)
        sides = np.concatenate([np.maximum(rows, 0), np.maximum(-rows, 0)])
        scales = np.tile(np.repeat(scale, count // own), 2)
        order[head] = order[head][:, _order(sides, scales / max(scale.max(), 1e-30), powers[head], bound)]
    return order.reshape(-1)


def choose_signs(weight: Array, limit: int, bound: str) -> Array:
    """Return signs of channels, float32 [in], with which ``weight`` [out, in] exceeds ``bound`` least.

    Those of each group are tried in all combinations.
    """
    scale = formulas.largest_scale(weight, limit)
    ranked = RankedColumns(np.ones(weight.shape[1]), bound)
    ranks = ranked.split(weight / formulas.divisor_of(scale)[:, None])
    best, least = np.ones(ranks.shape[::2], np.float32), np.full(ranks.shape[2], np.inf, np.float32)
    for rest in itertools.product((1, -1), repeat=len(ranks) - 1):
        signs = np.array((1, *rest), np.float32)
        turned = ranks * signs[:, None, None]
        sides = (np.maximum(each, 0).sum(axis=0) for each in (turned, -turned))
        beyond = (np.maximum(side - formulas.GROUP_LIMIT, 0) * scale[:, None] for side in sides)
        costs = sum((each**2).sum(axis=0) for each in beyond)
        better = costs < least
        best[:, better], least[better] = signs[:, None], costs[better]
    return np.asarray(ranked.join(best[:, None])[0])


def _order(sides: Array, scale: Array, power: Array, bound: str) -> Array:
    """Return the order of channels of ``sides`` [rows, channels]: what they have on either side of zero."""
    groups = np.arange(len(power))[:, None]
    power = np.maximum(power / max(power.mean(), SMALLEST_POWER), SMALLEST_POWER)
    while groups.shape[1] < GROUP_SIZE[bound]:
        first, second = _match(_costs(sides, scale, power))
        groups = np.concatenate([groups[first], groups[second]], axis=1)
        sides = sides[:, first] + sides[:, second]
        power = 1 / (1 / power[first] + 1 / power[second])
    order = np.empty(groups.size, int)
    order[np.argsort(formulas.bounded_groups(groups.size, bound), kind="stable")] = groups.reshape(-1)
    return order


def _costs(sides: Array, scale: Array, power: Array) -> Array:
    """Return the cost of each pair of groups: float32 [groups, groups], infinite for one with itself.

    What two have beyond the bound costs its square over the sum of their inverse importances
    (``bound.share_excess``).
    """
    raised = np.exp(STEEPNESS * (sides - np.float32(formulas.GROUP_LIMIT / 2))) * scale[:, None]
    inverse = 1 / power
    costs = (raised.T @ raised) / (inverse[:, None] + inverse)
    np.fill_diagonal(costs, np.inf)
    return np.asarray(costs)


def _match(costs: Array) -> tuple[Array, Array]:
    """Return the members of pairs, each item in one, of small cost together: the hardest choose first."""
    free = np.zeros(len(costs), np.float32)
    pairs = []
    for item in np.argsort(-np.where(np.isinf(costs), 0, costs).sum(axis=1), kind="stable"):
        if free[item] == 0:
            other = int(np.argmin(costs[item] + free))
            free[[item, other]] = np.inf
            pairs.append((int(item), other))
    first, second = np.array(pairs).T
    for _ in range(ROUNDS):
        if not _exchange(costs, first, second):
            break
    return first, second


def _exchange(costs: Array, first: Array, second: Array) -> bool:
    """Let pairs exchange members, each with one other at most, where that costs less; in place."""
    now = costs[first, second]
    across = costs[np.ix_(first, second)]
    across = across + across.T
    along = costs[np.ix_(first, first)] + costs[np.ix_(second, second)]
    gain = now[:, None] + now - np.minimum(across, along)
    partner = gain.argmax(axis=1)
    best = gain[np.arange(len(now)), partner]
    used = np.zeros(len(now), bool)
    for pair in np.argsort(-best, kind="stable"):
        other = partner[pair]
        if best[pair] <= 1e-6 * now[pair]:
            break
        if pair == other or used[pair] or used[other]:
            continue
        used[[pair, other]] = True
        if along[pair, other] < across[pair, other]:
            second[pair], first[other] = first[other], second[pair]
        else:
            second[pair], second[other] = second[other], second[pair]
    return bool(used.any())
