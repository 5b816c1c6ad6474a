"""Yardsticks: what it means that two models answer the same, be it with vectors, labels or values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from bertc import fidelity
from bertc.artifact.certificate import LogitFidelity, ValueFidelity, VectorFidelity
from bertc.artifact.schema import ModelInfo
from bertc.task_table import TASKS

Array = np.ndarray[Any, Any]
Compare = Callable[[Array, Array], Array]
"""Returns a number for each row of the answers of the fp32 model and of another, [rows, columns] each."""

LOGITS = "logits"


@dataclass(frozen=True)
class Yardstick:
    """The way in which two sets of answers are compared."""

    output: str
    """The public output that matters to the task."""
    metric: str
    """The metric that a budget limits the drop of, by its name in recipes."""
    smooth: bool
    """Whether a small change of the model changes the metric a little; a count of answers moves in steps."""
    unit: str
    """The measure that ``rows`` gives: ``cosine``, ``divergence`` or ``difference``."""
    rows: Compare
    """Returns the measure of each row, by which people are shown the worst samples."""
    descending: bool
    """Whether the largest of ``rows`` is the worst."""
    loss: Callable[[Array, Array], float]
    """Returns the loss that nodes are ranked by: smooth, 0 for no difference."""
    drop: Callable[[Array, Array], float]
    """Returns how much of the metric is lost, as a share."""


def yardstick(info: ModelInfo) -> Yardstick:
    """Return the yardstick of a model's task and kind of labels."""
    task = TASKS[info.task]
    if task.compares == "vectors":
        return Yardstick(
            output=task.output,
            metric=task.fidelity_metric,
            smooth=True,
            unit="cosine",
            rows=fidelity.cosine,
            descending=False,
            loss=_one_minus_cosine,
            drop=_one_minus_cosine,
        )
    if has_values(info):
        return Yardstick(
            output=task.output,
            metric="correlation",
            smooth=True,
            unit="difference",
            rows=_difference,
            descending=True,
            loss=_one_minus_correlation,
            drop=_one_minus_correlation,
        )
    independent = has_independent_labels(info)
    divergence = partial(fidelity.kl_divergence, independent=independent)
    return Yardstick(
        output=task.output,
        metric=task.fidelity_metric,
        smooth=False,
        unit="divergence",
        rows=divergence,
        descending=True,
        loss=lambda expected, found: float(divergence(expected, found).mean()),
        drop=partial(_disagreement, independent=independent),
    )


def has_values(info: ModelInfo) -> bool:
    """Return whether the model's answers are numbers, which decide nothing by themselves."""
    return TASKS[info.task].compares == "values" or info.problem_type == "regression"


def has_independent_labels(info: ModelInfo) -> bool:
    """Return whether each logit is an answer of its own, as the classification task has it."""
    return info.problem_type == "multi_label_classification" or len(info.labels) == 1


def compare_vectors(expected: Array, found: Array) -> VectorFidelity:
    """Return how close vectors are to those of the fp32 model, by the cosine of each row."""
    cosines = fidelity.cosine(expected, found)
    return VectorFidelity(
        rows=len(cosines), mean_cosine=float(cosines.mean()), worst_cosine=float(cosines.min())
    )


def compare_logits(expected: Array, found: Array, *, independent: bool) -> LogitFidelity:
    """Return how close logits are to those of the fp32 model, by decision and probabilities of each row."""
    divergence = fidelity.kl_divergence(expected, found, independent=independent)
    return LogitFidelity(
        rows=len(expected),
        same_decisions=int(fidelity.same_decisions(expected, found, independent=independent).sum()),
        mean_kl=float(divergence.mean()),
        worst_kl=float(divergence.max()),
        largest_difference=float(np.abs(expected - found).max()),
    )


def compare_values(expected: Array, found: Array) -> ValueFidelity:
    """Return how close the numbers of a regression are to those of the fp32 model."""
    difference = np.abs(expected.astype(np.float64) - found)
    return ValueFidelity(
        rows=len(expected),
        correlation=1 - _one_minus_correlation(expected, found),
        mean_difference=float(difference.mean()),
        largest_difference=float(difference.max()),
    )


def _one_minus_cosine(expected: Array, found: Array) -> float:
    return float(1 - fidelity.cosine(expected, found).mean())


def _difference(expected: Array, found: Array) -> Array:
    return np.asarray(np.abs(expected.astype(np.float64) - found).max(axis=1))


def _one_minus_correlation(expected: Array, found: Array) -> float:
    """Return 1 - Pearson's correlation, a mean over columns: the cosine of what is left without the mean."""
    centered = (
        array.astype(np.float64) - array.mean(axis=0, dtype=np.float64) for array in (expected, found)
    )
    first, second = (array.T for array in centered)
    return float(1 - fidelity.cosine(first, second).mean())


def _disagreement(expected: Array, found: Array, *, independent: bool) -> float:
    return float(1 - fidelity.same_decisions(expected, found, independent=independent).mean())
