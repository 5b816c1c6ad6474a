"""A fair sample of a stream of unknown length, in memory for the sample alone."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def reservoir(items: Iterable[T], count: int, seed: int) -> list[T]:
    """``count`` of the items, or all where there are fewer, in random order; each set equally likely.

    The same items and seed give the same sample. Li 1994, "Reservoir-sampling algorithms of time
    complexity O(n(1 + log(N/n)))", algorithm L: draws random numbers for the items it takes, not for
    those it passes.
    """
    choose = random.Random(seed)
    stream = iter(items)
    chosen = list(islice(stream, count))
    threshold = 1.0
    while len(chosen) == count:
        threshold *= math.exp(math.log(_inside(choose)) / count)
        passed = math.floor(math.log(_inside(choose)) / math.log1p(-threshold))
        taken = list(islice(stream, passed, passed + 1))
        if not taken:
            break
        chosen[choose.randrange(count)] = taken[0]
    choose.shuffle(chosen)
    return chosen


def _inside(choose: random.Random) -> float:
    """From (0, 1): 0 has no logarithm, and nothing is left above 1."""
    return choose.random() or 0.5
