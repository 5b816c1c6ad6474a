"""Scores of one ranking, by the gains of its documents in their order: 0 for one that is not relevant."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def average_precision(gains: Sequence[float], relevant: int) -> float:
    """Return the mean precision at the place of each of the ``relevant`` documents, 0 for a missing one."""
    found = np.flatnonzero(np.asarray(gains) > 0)
    return float(np.sum(np.arange(1, len(found) + 1) / (found + 1))) / relevant


def reciprocal_rank(gains: Sequence[float], depth: int) -> float:
    """Return 1 / the place of the first relevant document among the first ``depth``, 0 without one."""
    found = np.flatnonzero(np.asarray(gains[:depth]) > 0)
    return 1 / (1 + int(found[0])) if len(found) else 0.0


def ndcg(gains: Sequence[float], ideal: Sequence[float], depth: int) -> float:
    """Return the discounted gain of the first ``depth`` documents over that of the best ranking.

    ``ideal`` are the gains of all relevant documents, in any order. A gain counts as it is, divided by the
    logarithm to base 2 of its place + 1: Järvelin and Kekäläinen 2002, as ``trec_eval`` computes it.
    """
    best = _discounted(sorted(ideal, reverse=True)[:depth])
    return _discounted(gains[:depth]) / best if best > 0 else 0.0


def _discounted(gains: Sequence[float]) -> float:
    return float(np.sum(np.asarray(gains) / np.log2(np.arange(2, len(gains) + 2))))
