"""Times of runs, and what follows from them: percentiles, rates, spread, ratios."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

Count = Callable[[Sequence[int]], int]
"""From the numbers of tokens of sequences to the operations of their products (``work.operations``)."""


@dataclass(frozen=True)
class Effort:
    """Says how long to measure: ``repeats`` calls, fewer if they take more than ``seconds``."""

    warmup: int = 1
    """Untimed turns before the first round: some libraries prepare for each shape that they meet."""
    repeats: int = 1000
    seconds: float = 2.0
    """The time for each engine, for each shape and each way to run the texts."""
    patience: float = 10.0
    """An engine that needs more seconds than this for a single call has one round: it is far behind."""


@dataclass(frozen=True)
class Amount:
    """The size of one unit of work: a run of a shape, or one pass over all texts."""

    sequences: int
    tokens: int
    """The number of tokens without padding, which counts for nobody."""
    operations: int

    @classmethod
    def of(cls, count: Count, lengths: Sequence[int]) -> Amount:
        """Return the amount of work of sequences with these numbers of tokens."""
        return cls(len(lengths), sum(lengths), count(lengths))


@dataclass(frozen=True)
class Round:
    """The times that an engine took in one turn."""

    calls_ms: tuple[float, ...]
    """The time of each call, which a user waits for, in milliseconds."""
    unit_ms: float
    """The time of one unit of work, in milliseconds: the median if there were several."""
    kernel_ms: float
    """The part of ``unit_ms`` in the model: without tokenizing, padding and sorting."""


@dataclass(frozen=True)
class Timing:
    """One unit of work, measured in several rounds."""

    sequences: int
    tokens: int
    repeats: int
    """The number of calls in all rounds."""
    mean_ms: float
    p50_ms: float
    """The median over all calls, in milliseconds. Where texts are run one by one, a call is one text."""
    p90_ms: float
    p99_ms: float
    spread: float
    """The distance of the quartiles of the unit's time over the rounds, as a share of its median."""
    sequences_per_second: float
    """The rate of sequences, as all rates from the unit's median time over the rounds."""
    tokens_per_second: float
    gops: float
    """The rate of 10^9 operations per second; a multiplication and an addition count as two."""
    kernel_sequences_per_second: float
    """The rate of sequences in the model alone: without tokenizing, padding and sorting."""
    kernel_gops: float
    round_ms: tuple[float, ...]
    """The time of the unit in each round, in milliseconds."""

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Timing:
        """Return the timing in a row of a report."""
        values = {each.name: row[each.name] for each in fields(cls)}
        return cls(**{**values, "round_ms": tuple(row["round_ms"])})


def summarize(rounds: Sequence[Round], amount: Amount) -> Timing:
    """Take percentiles over all calls, and medians over the rounds."""
    calls = [call for each in rounds for call in each.calls_ms]
    p50, p90, p99 = (float(value) for value in np.percentile(calls, [50, 90, 99]))
    units = [each.unit_ms for each in rounds]
    low, unit, high = (float(value) for value in np.percentile(units, [25, 50, 75]))
    kernel = float(np.median([each.kernel_ms for each in rounds]))
    return Timing(
        sequences=amount.sequences,
        tokens=amount.tokens,
        repeats=len(calls),
        mean_ms=float(np.mean(calls)),
        p50_ms=p50,
        p90_ms=p90,
        p99_ms=p99,
        spread=(high - low) / unit,
        sequences_per_second=1000 * amount.sequences / unit,
        tokens_per_second=1000 * amount.tokens / unit,
        gops=amount.operations / unit / 1e6,
        kernel_sequences_per_second=1000 * amount.sequences / kernel,
        kernel_gops=amount.operations / kernel / 1e6,
        round_ms=tuple(units),
    )


def faster(round_ms: Sequence[float], others: Sequence[float]) -> dict[str, float]:
    """Divide the other's times by one's own, round by round: what slows both at one time cancels.

    Returns how many times faster one is: ``median``, ``low`` and ``high`` quartile over the rounds.
    """
    ratios = [other / own for own, other in zip(round_ms, others, strict=False)]
    low, median, high = (float(value) for value in np.percentile(ratios, [25, 50, 75]))
    return {"median": median, "low": low, "high": high}
