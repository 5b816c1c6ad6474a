"""Measures what each node costs in accuracy: it alone is as the recipe says, everything else in fp32.

Alone, since the errors of many nodes hide that of one; and errors add up, nearly, as they are small
and independent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from bertc.precision import FP32

Precisions = Mapping[str, str]
"""What every node that has a choice computes in, or an embedding is stored in, by name."""

EXACT = FP32
"""The precision of all nodes but the one that is measured."""


@dataclass(frozen=True)
class Score:
    """The distance of a variant of the model from its fp32 self."""

    loss: float
    """The measure that ranks nodes: smooth, 0 for no difference (1 - mean cosine, mean divergence)."""
    drop: float
    """The loss of the budget's metric, as a share; negative if the variant is better."""
    sqnr_db: float
    """The signal to quantization noise ratio of the answers."""


Measure = Callable[[Precisions], Score]
"""Compiles a variant and compares it with the fp32 model."""


@dataclass(frozen=True)
class Effect:
    """The loss that one node causes alone."""

    name: str
    precision: str
    loss: float
    sqnr_db: float


def measure_effects(precisions: Precisions, measure: Measure) -> Iterator[Effect]:
    """Yield one effect for each node that is not in fp32, in their order."""
    everything_exact = dict.fromkeys(precisions, EXACT)
    for name, precision in precisions.items():
        if precision != EXACT:
            score = measure({**everything_exact, name: precision})
            yield Effect(name, precision, score.loss, score.sqnr_db)
