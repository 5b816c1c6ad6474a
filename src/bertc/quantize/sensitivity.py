"""What each node costs in accuracy, measured: it alone as the recipe says, everything else in fp32.

Alone, since the errors of many nodes hide that of one; and errors add up, nearly, as they are small
and independent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from bertc.precision import FP32

Precisions = Mapping[str, str]
"""Node name -> what it computes in (an embedding: is stored in), for every node that has a choice."""

EXACT = FP32


@dataclass(frozen=True)
class Score:
    """How far a variant of the model is from its fp32 self."""

    loss: float
    """What nodes are ranked by: smooth, 0 for no difference (1 - mean cosine, mean divergence)."""
    drop: float
    """Of the metric that the budget is about, as a share; negative if the variant is better."""
    sqnr_db: float
    """Of the answers."""


Measure = Callable[[Precisions], Score]
"""Compiles a variant and compares it with the fp32 model."""


@dataclass(frozen=True)
class Effect:
    """What one node costs alone."""

    name: str
    precision: str
    loss: float
    sqnr_db: float


def measure_effects(precisions: Precisions, measure: Measure) -> Iterator[Effect]:
    """One effect for each node that is not in fp32, in their order."""
    everything_exact = dict.fromkeys(precisions, EXACT)
    for name, precision in precisions.items():
        if precision != EXACT:
            score = measure({**everything_exact, name: precision})
            yield Effect(name, precision, score.loss, score.sqnr_db)
