"""What a model answers, vectors, labels or values, and so what it means that two models answer the same."""

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
"""Answers of the fp32 model and of another, [rows, columns] -> a number for each row."""

LOGITS = "logits"


@dataclass(frozen=True)
class Yardstick:
    """How two sets of answers are compared."""

    output: str
    """The public output that matters to the task."""
    metric: str
    """What a budget is about, as recipes call it."""
    smooth: bool
    """Whether a small change of the model changes the metric a little; a count of answers moves in steps."""
    unit: str
    """What ``rows`` gives: ``cosine``, ``divergence`` or ``difference``."""
    rows: Compare
    """For people, to find the worst samples by."""
    descending: bool
    """Whether the largest of ``rows`` is the worst."""
    loss: Callable[[Array, Array], float]
    """What nodes are ranked by: smooth, 0 for no difference."""
    drop: Callable[[Array, Array], float]
    """How much of the metric is lost, as a share."""


def yardstick(info: ModelInfo) -> Yardstick:
    """That of a model's task and kind of labels."""
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
    if info.problem_type == "regression":
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


def has_independent_labels(info: ModelInfo) -> bool:
    """Whether each logit is an answer of its own, as the classification task has it."""
    return info.problem_type == "multi_label_classification" or len(info.labels) == 1


def compare_vectors(expected: Array, found: Array) -> VectorFidelity:
    """Cosine of each row."""
    cosines = fidelity.cosine(expected, found)
    return VectorFidelity(
        rows=len(cosines), mean_cosine=float(cosines.mean()), worst_cosine=float(cosines.min())
    )


def compare_logits(expected: Array, found: Array, *, independent: bool) -> LogitFidelity:
    """Decisions and probabilities of each row."""
    divergence = fidelity.kl_divergence(expected, found, independent=independent)
    return LogitFidelity(
        rows=len(expected),
        same_decisions=int(fidelity.same_decisions(expected, found, independent=independent).sum()),
        mean_kl=float(divergence.mean()),
        worst_kl=float(divergence.max()),
        largest_difference=float(np.abs(expected - found).max()),
    )


def compare_values(expected: Array, found: Array) -> ValueFidelity:
    """Of a regression: the numbers themselves."""
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
    """By columns, Pearson's: the cosine of what is left when the mean is taken away."""
    centered = (
        array.astype(np.float64) - array.mean(axis=0, dtype=np.float64) for array in (expected, found)
    )
    first, second = (array.T for array in centered)
    return float(1 - fidelity.cosine(first, second).mean())


def _disagreement(expected: Array, found: Array, *, independent: bool) -> float:
    return float(1 - fidelity.same_decisions(expected, found, independent=independent).mean())
