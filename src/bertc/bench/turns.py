"""Lets contestants take turns, round by round, so that what disturbs the machine disturbs all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeVar

from bertc.bench.timing import Effort, Round

Key = TypeVar("Key")

LEAST_ROUNDS = 3
"""Fewer rounds than this make no median, however long a round takes."""
TURN_SECONDS = 0.2
"""A turn is long enough for caches and clock to settle, and short against the drift of a machine."""


class Turn(Protocol):
    """The work of one contestant."""

    def __call__(self, calls: int) -> Round:
        """Do the work ``calls`` times, and time each."""


def interleave(turns: Mapping[Key, Turn], effort: Effort) -> dict[Key, list[Round]]:
    """Run all contestants in rounds, each round in another order, until all have had enough.

    The n-th rounds of two contestants are neighbors in time.
    """
    contestants = {key: _Contestant(turn, effort) for key, turn in turns.items()}
    for _ in range(effort.warmup):
        for contestant in contestants.values():
            contestant.warm_up()
    first = 0
    while waiting := [each for each in contestants.values() if not each.finished]:
        start = first % len(waiting)
        for contestant in waiting[start:] + waiting[:start]:
            contestant.take_turn()
        first += 1
    return {key: contestant.rounds for key, contestant in contestants.items()}


class _Contestant:
    def __init__(self, turn: Turn, effort: Effort) -> None:
        self._turn, self._effort = turn, effort
        self._calls = 1
        self._spent = 0.0
        self.rounds: list[Round] = []

    @property
    def finished(self) -> bool:
        if not self.rounds:
            return False
        if self.rounds[0].unit_ms > 1000 * self._effort.patience:
            return True
        done = sum(len(each.calls_ms) for each in self.rounds)
        enough = done >= self._effort.repeats or self._spent >= self._effort.seconds
        return enough and len(self.rounds) >= LEAST_ROUNDS

    def warm_up(self) -> None:
        self._plan(self._turn(1))

    def take_turn(self) -> None:
        result = self._turn(self._calls)
        self.rounds.append(result)
        self._spent += sum(result.calls_ms) / 1000
        if len(self.rounds) == 1:
            self._plan(result)

    def _plan(self, result: Round) -> None:
        """Plan as many calls as fill a turn, but no more than leave enough for the other rounds."""
        fitting = int(1000 * TURN_SECONDS / max(result.unit_ms, 1e-3))
        self._calls = max(1, min(fitting, self._effort.repeats // LEAST_ROUNDS))
