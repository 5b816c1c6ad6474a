"""Scores of decisions among classes: precision, recall, F1, Matthews correlation, average precision."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def one_hot(expected: Array, predicted: Array, classes: int) -> Array:
    """Return what each sample adds to the counts of each class, float64 [samples, 3 * classes].

    The counts are, class after class: samples that are of it and are called so, that are called so, that are.
    """
    told, true = (np.eye(classes)[each] for each in (predicted, expected))
    return np.concatenate([told * true, told, true], axis=1)


def precision_recall_f1(hits: Array, predicted: Array, expected: Array) -> tuple[Array, Array, Array]:
    """Return three scores of the same counts of samples; 0 where nothing was predicted or expected."""
    return _share(hits, predicted), _share(hits, expected), _share(2 * hits, predicted + expected)


def matthews(hits: Array, predicted: Array, expected: Array) -> Array:
    """Return Matthews' correlation of counts [..., classes], for any number of classes; 0 if undefined.

    Gorodkin 2004, "Comparing two K-category assignments by a K-category correlation coefficient".
    """
    total = expected.sum(axis=-1)
    covariance = hits.sum(axis=-1) * total - (predicted * expected).sum(axis=-1)
    spreads = [total**2 - (each**2).sum(axis=-1) for each in (predicted, expected)]
    return _share(covariance, np.sqrt(spreads[0] * spreads[1]))


def average_precision(scores: Array, positive: Array, weights: Array) -> Array:
    """Return the mean precision at each positive sample, [resamples], where ``scores`` [samples] rank them.

    Samples of equal scores are taken in together. It is NaN in a resample without a positive one.
    """
    order = np.argsort(-scores, kind="stable")
    begins = np.concatenate([[True], np.diff(scores[order]) != 0])
    starts = np.flatnonzero(begins)
    taken = np.add.reduceat(weights[:, order], starts, axis=1)
    right = np.add.reduceat((weights * positive)[:, order], starts, axis=1)
    precision = _share(np.cumsum(right, axis=1), np.cumsum(taken, axis=1))
    total = right.sum(axis=1)
    return np.asarray(np.where(total > 0, _share((precision * right).sum(axis=1), total), np.nan))


def _share(part: Array, whole: Array) -> Array:
    return np.asarray(np.divide(part, whole, out=np.zeros(np.shape(whole)), where=np.asarray(whole) > 0))
