"""What chance does to a score: bootstrap intervals, and paired tests of two models on the same samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Score = Callable[[Array], Mapping[str, Array]]
"""Weights [resamples, samples] -> scores [resamples] by name."""

RESAMPLES = 1000
LEVEL = 0.95
"""The share of resamples that an interval holds."""
SIGNIFICANT = 0.05
"""A difference is called real where its p-value is below this."""
_BLOCK = 1 << 21
"""The weights that are held at once: 16 MB."""


def bootstrap(score: Score, samples: int, *, seed: int, resamples: int = RESAMPLES) -> dict[str, Array]:
    """Return scores of ``resamples`` random choices of as many samples, with replacement, by name.

    The same number of samples and seed give the same choices, so that two models can be compared by them.
    """
    parts = [score(weights) for weights in _weights(samples, seed, resamples)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _weights(samples: int, seed: int, resamples: int) -> Iterator[Array]:
    """Yield how often each sample is chosen in each resample, float64 [some, samples]."""
    random = np.random.default_rng(seed)
    rows = max(1, _BLOCK // samples)
    for first in range(0, resamples, rows):
        count = min(rows, resamples - first)
        chosen = random.integers(samples, size=(count, samples)) + samples * np.arange(count)[:, None]
        weights = np.bincount(chosen.reshape(-1), minlength=count * samples)
        yield weights.reshape(count, samples).astype(np.float64)


def interval(scores: Array) -> tuple[float, float]:
    """Return the range that holds the middle ``LEVEL`` of the scores (percentiles); NaN where none is."""
    defined = scores[~np.isnan(scores)]
    if not len(defined):
        return float("nan"), float("nan")
    low, high = np.percentile(defined, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return float(low), float(high)


def paired_bootstrap(differences: Array) -> float:
    """Return the two-sided p-value of differences of two models' scores in the same resamples.

    Twice the share of resamples in which the sign is not that of most (Efron and Tibshirani 1993, chapter
    16), with one resample more so that it is never 0.
    """
    defined = differences[~np.isnan(differences)]
    least = min(np.sum(defined <= 0), np.sum(defined >= 0))
    return min(1.0, 2 * (float(least) + 1) / (len(defined) + 1))


def mcnemar(better: int, worse: int) -> float:
    """Return the p-value of McNemar's exact test: two-sided, binomial with 1/2.

    ``better`` and ``worse`` are the samples that one of two models alone decides right, and the other alone.
    """
    total, least = better + worse, min(better, worse)
    term = tail = 1
    for index in range(least):
        term = term * (total - index) // (index + 1)
        tail += term
    return 1.0 if 2 * tail >= 1 << total else 2 * tail / (1 << total)
