"""Chooses which nodes fall back to more bits, so that the model loses no more than it may.

The nodes are put into one order, by the loss that a fallback saves for what it costs. The drop
after the first ``n`` fallbacks falls as ``n`` grows, so the least ``n`` is found by bisection: a
handful of variants are compiled, not one for each node. Where the metric is smooth, each chosen
fallback is then taken back if the budget holds without it, the costliest first. A metric that counts
right answers is not: of many variants that differ by chance some do well by chance, and would be chosen.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bertc.precision import FP32, PRECISIONS
from bertc.quantize.sensitivity import Effect, Measure, Precisions, Score

Cost = Callable[[str, str, str], float]
"""Returns what a node costs in time and size, above 0, by its name, its new precision and its old one."""

SLACK = 1e-9
"""The drop that rounding alone may show: a mean of thousands of cosines of 1 is not exactly 1."""


@dataclass(frozen=True)
class Step:
    """One fallback of one node."""

    name: str
    precision: str
    instead_of: str


@dataclass(frozen=True)
class Choice:
    """The precisions that were found, and what finding them took."""

    precisions: Precisions
    score: Score
    before: Score
    met: bool
    trials: int


def fit(
    precisions: Precisions,
    before: Score,
    effects: Sequence[Effect],
    *,
    max_drop: float,
    cost: Cost,
    tables: frozenset[str],
    measure: Measure,
    smooth: bool = True,
) -> Choice:
    """Return the cheapest precisions found whose drop is no more than ``max_drop``.

    ``before`` is the score of ``precisions``, ``effects`` are of its nodes; ``tables`` names those
    that are embeddings; ``smooth`` says whether the drop is of a smooth metric. If not even the last
    fallback is enough, the result is the best that was measured, and ``met`` is False. ``measure`` is
    called some ``log2`` of the number of steps times, and if smooth once for each fallback that is left.
    """
    search = _Search(precisions, before, max_drop, measure)
    steps = order_steps(precisions, effects, cost, tables)
    if not search.ok(before) and not search.shortest(steps):
        return search.result(search.best, met=False)
    return search.result(search.pruned(cost) if smooth else search.best, met=True)


def order_steps(
    precisions: Precisions, effects: Sequence[Effect], cost: Cost, tables: frozenset[str]
) -> list[Step]:
    """Return all fallbacks, those that save most for their cost first; each node's in the order of bits."""
    losses = {effect.name: max(effect.loss, 0.0) for effect in effects}
    waiting: list[tuple[float, int, Step, float]] = []

    def offer(index: int, name: str, precision: str, loss: float) -> None:
        row = PRECISIONS[precision]
        following = row.table_fallback if name in tables else row.fallback
        if following is None:
            return
        # Each bit less is four times the power of the error.
        more_bits = PRECISIONS[following].significant_bits - row.significant_bits
        left = loss / 4.0**more_bits if following != FP32 else 0.0
        gain = (loss - left) / cost(name, following, precision)
        heapq.heappush(waiting, (-gain, index, Step(name, following, precision), left))

    names = list(losses)
    for index, name in enumerate(names):
        offer(index, name, precisions[name], losses[name])
    steps = []
    while waiting:
        _, index, step, left = heapq.heappop(waiting)
        steps.append(step)
        offer(index, step.name, step.precision, left)
    return steps


class _Search:
    """Measures variants, and remembers the best one."""

    def __init__(self, precisions: Precisions, before: Score, max_drop: float, measure: Measure) -> None:
        self._precisions, self._before = precisions, before
        self._max_drop, self._measure = max_drop, measure
        self._trials = 0
        self.best: tuple[Precisions, Score] = precisions, before

    def ok(self, score: Score) -> bool:
        return score.drop <= self._max_drop + SLACK

    def shortest(self, steps: Sequence[Step]) -> bool:
        """Set ``best`` to the least number of steps that is enough; False if all of them are not."""
        if not self.ok(self._try(self._after(steps, len(steps)))):
            return False
        low, high = 0, len(steps)  # `low` steps are too few, `high` are enough
        while high - low > 1:
            middle = (low + high) // 2
            if self.ok(self._try(self._after(steps, middle))):
                high = middle
            else:
                low = middle
        return True

    def pruned(self, cost: Cost) -> tuple[Precisions, Score]:
        """Return ``best`` without the fallbacks that turn out not to be needed."""
        kept = dict(self.best[0])
        changed = [name for name, precision in kept.items() if precision != self._precisions[name]]
        changed.sort(key=lambda name: -cost(name, kept[name], self._precisions[name]))
        for name in changed:
            variant = {**kept, name: self._precisions[name]}
            if len(changed) > 1 and self.ok(self._try(variant)):
                kept = variant
        return self.best

    def result(self, found: tuple[Precisions, Score], *, met: bool) -> Choice:
        return Choice(found[0], found[1], self._before, met, self._trials)

    def _after(self, steps: Sequence[Step], count: int) -> dict[str, str]:
        return {**self._precisions, **{step.name: step.precision for step in steps[:count]}}

    def _try(self, precisions: Precisions) -> Score:
        self._trials += 1
        score = self._measure(precisions)
        if self.ok(score) or (not self.ok(self.best[1]) and score.drop < self.best[1].drop):
            self.best = precisions, score
        return score
