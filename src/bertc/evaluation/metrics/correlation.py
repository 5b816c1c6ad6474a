"""Pearson's and Spearman's correlation under weights."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def pearson(x: Array, y: Array, weights: Array) -> Array:
    """Return the correlation of ``x`` and ``y`` in each resample, float64 [resamples].

    Both are [samples], or [resamples, samples] where they differ. It is NaN where one is constant.
    """
    total = weights.sum(axis=1, keepdims=True)
    from_x = x - (weights * x).sum(axis=1, keepdims=True) / total
    from_y = y - (weights * y).sum(axis=1, keepdims=True) / total
    weighted = weights * from_x
    covariance = (weighted * from_y).sum(axis=1)
    variances = (weighted * from_x).sum(axis=1) * (weights * from_y * from_y).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(variances > 0, covariance / np.sqrt(variances), np.nan))


def spearman(x: Array, y: Array, weights: Array) -> Array:
    """Return the correlation of the ranks of ``x`` and ``y`` [samples] in each resample, [resamples]."""
    return pearson(ranks(x, weights), ranks(y, weights), weights)


def ranks(values: Array, weights: Array) -> Array:
    """Return the rank of each value in each resample, from 1; equal ones share the mean of their ranks."""
    order = np.argsort(values, kind="stable")
    begins = np.concatenate([[True], np.diff(values[order]) != 0])
    counts = np.add.reduceat(weights[:, order], np.flatnonzero(begins), axis=1)
    shared = np.cumsum(counts, axis=1) - (counts - 1) / 2
    found = np.empty(weights.shape)
    found[:, order] = shared[:, np.cumsum(begins) - 1]
    return found
