"""Finds the places whose tokens are almost the same in every text: a constant need not be quantized.

The first token of a text (``[CLS]``), in other models also its last (``[SEP]``), is where attention heads
that have nothing to say put their weight (Clark et al. 2019, arXiv:1906.04341, sec. 3.2; Xiao et al. 2023,
"attention sinks", arXiv:2309.17453). Its state has the largest numbers of the model (Kovaleva et al. 2021,
arXiv:2105.06990; Bondarenko et al. 2021, arXiv:2109.12948; Sun et al. 2024, "massive activations",
arXiv:2402.17762), and hardly any that depend on the text. Its 8 bits cover a range that is mostly one
constant, which is known in advance: so it is subtracted before rounding (``smooth.ChannelAffine.places``),
and what the layer makes of it, computed in fp32, is part of that token's bias. This is exact for any token:
a place only says which constant is subtracted.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bertc.fidelity import LARGEST_DB
from bertc.ir.formulas import FIRST, LAST
from bertc.quantize.smooth import shift_by_means
from bertc.quantize.statistics import EdgeStatistics

Array = np.ndarray[Any, Any]

FEWEST_ROWS = 6
"""A place that fewer rows were seen at has no constant that could be known."""
LARGEST_REST = 0.5
"""The share of a place's error, at most, that its own shift must leave."""
SMALLEST_SINK = 1.0
"""A place's error must be as large as that of an ordinary token, or it is not worth its vectors."""


def choose_places(edge: EdgeStatistics, *, shift: bool) -> dict[int, float]:
    """Return the places whose rows are to be shifted by their own means, where that pays.

    Each comes with the decibels by which the error of its rows in 8 bits falls. ``shift`` says whether all
    other rows are shifted by theirs.
    """
    chosen: dict[int, float] = {}
    for place, rows in ((FIRST, edge.first), (LAST, edge.last)):
        if edge.counts[place] < FEWEST_ROWS or edge.counts[place] == edge.rows:
            continue
        others = edge.sample[~np.isin(edge.sample_places, (*chosen, place))]
        alone, with_others = (
            shift_by_means(edge, places, shift=shift) for places in ((*chosen, place), chosen)
        )
        before, after = _error(rows + with_others[place]), _error(rows + alone[place])
        if before * LARGEST_REST > after and before >= SMALLEST_SINK * _error(others + alone[0]):
            chosen[place] = min(10 * math.log10(before / after), LARGEST_DB) if after else LARGEST_DB
    return chosen


def _error(rows: Array) -> float:
    """Return the mean of the squared ranges of rows, which their error in 8 bits is proportional to."""
    if not len(rows):
        return 0.0
    return float(((np.maximum(rows.max(axis=1), 0) - np.minimum(rows.min(axis=1), 0)) ** 2).mean())
