"""Pairs of texts that belong together or not: decisions by a score and a threshold.

Data is a table as for classification, with two texts and a label: 1 or 0, true or false; or a score, of which
those from ``positive_from`` on count as 1. The score of a model is the cosine of two vectors, what a
cross-encoder predicts, or how much more probable a classifier of two labels finds the second.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any, NamedTuple

import numpy as np

from bertc.errors import InputError
from bertc.evaluation.classification import (
    LabeledRow,
    class_scores,
    confusion,
    documented_order,
    labeled_rows,
)
from bertc.evaluation.engine import CrossEncoder, Embedder, cosine, token_counts
from bertc.evaluation.evaluator import Evaluator
from bertc.evaluation.evaluator import evaluate as run
from bertc.evaluation.metrics import classes
from bertc.evaluation.result import Case, Outcomes, Result

Array = np.ndarray[Any, Any]

NAMES = ("0", "1")
_WORDS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1}


class LabeledPair(NamedTuple):
    """Two texts, and whether they belong together."""

    first: str
    second: str
    label: int
    id: str


@dataclass(frozen=True)
class PairDecisions(Evaluator[LabeledPair]):
    """Scores of decisions about pairs, and of the ranking that they come from."""

    metric = "accuracy"
    decides = True

    threshold: float | None = None
    """The score from which on a pair counts as 1; None takes the one that is best on the data."""
    positive_from: float | None = None
    """The label from which on a pair is 1, where labels are scores."""
    columns: tuple[str, ...] = ()
    """The columns of the label and of both texts, as ``classification.labeled_rows`` takes them."""

    def read(self, path: str | PathLike[str]) -> Sequence[LabeledPair]:
        """Return all pairs. Raises ``InputError`` also where all have one label."""
        pairs = [self._pair(row) for row in labeled_rows(path, self.columns)]
        if len({pair.label for pair in pairs}) < 2:
            raise InputError(f"{path}: every label is {pairs[0].label}: decisions need both")
        return pairs

    def answer(self, engine: Embedder | CrossEncoder, samples: Sequence[LabeledPair]) -> Outcomes:
        """Return a score of each pair, and what is decided by it."""
        texts: list[Any] = [(pair.first, pair.second) for pair in samples]
        threshold = self.threshold
        if hasattr(engine, "predict"):
            scores = np.asarray(engine.predict(texts), np.float64)
            if scores.ndim > 1:
                scores, threshold = _of_two(scores, engine), 0.0 if threshold is None else threshold
        else:
            texts = [text for pair in texts for text in pair]
            vectors = np.asarray(engine.encode(texts), np.float64)
            scores = cosine(vectors[::2], vectors[1::2])
        expected = np.array([pair.label for pair in samples])
        chosen = best_threshold(scores, expected) if threshold is None else threshold
        decided = (scores >= chosen).astype(int)
        how = "best on this data" if threshold is None else "given"
        return Outcomes(
            answers=[f"{NAMES[told]} ({score:.4f})" for told, score in zip(decided, scores, strict=True)],
            goodness=(decided == expected).astype(np.float64),
            statistics=np.stack([scores, expected, decided], axis=1),
            counts={"positive": int(expected.sum()), **token_counts(engine, texts)},
            classes=class_scores(NAMES, classes.one_hot(expected, decided, 2).sum(axis=0)),
            confusion=confusion(NAMES, expected, decided),
            facts={"threshold": f"{chosen:.4f}, {how}"},
        )

    def score(self, outcomes: Outcomes, weights: Array) -> dict[str, Array]:
        """Return all metrics, times 100; precision, recall and f1 are those of label 1."""
        scores, expected, decided = outcomes.statistics.T
        counts = [weights @ each for each in (expected * decided, decided, expected)]
        precision, recall, f1 = classes.precision_recall_f1(*counts)
        found = {
            "accuracy": weights @ (expected == decided) / weights.sum(axis=1),
            "f1": f1,
            "precision": precision,
            "recall": recall,
            "average_precision": classes.average_precision(scores, expected, weights),
        }
        return {name: 100 * score for name, score in found.items()}

    def case(self, sample: LabeledPair) -> Case:
        """Return both texts and the label."""
        return Case(sample.id, f"{sample.first} | {sample.second}", NAMES[sample.label])

    def distances(self, found: Outcomes, reference: Outcomes) -> Array:
        """Return 1 where the decisions differ."""
        return np.asarray(np.abs(found.statistics[:, 2] - reference.statistics[:, 2]))

    def _pair(self, row: LabeledRow) -> LabeledPair:
        if isinstance(row.text, str):
            raise InputError(
                f"{row.where.rpartition(', column')[0]}: one text, expected two such as sentence1 and "
                "sentence2"
            )
        label = _WORDS.get(row.label.casefold())
        if self.positive_from is not None:
            label = int(_number(row) >= self.positive_from)
        if label is None:
            raise InputError(
                f"{row.where}: the label is {row.label!r}, expected 1 or 0. Of scores, say from which on "
                "they mean 1 (--positive-from), or use bertc eval sts; of more classes, bertc eval classify"
            )
        return LabeledPair(*row.text, label, row.id)


def evaluate(engine: Embedder | CrossEncoder, path: str | PathLike[str], *, seed: int | None = 0) -> Result:
    """Return accuracy, F1 and average precision of decisions about pairs, times 100.

    The threshold is the one that is best on the data. Raises ``InputError``.
    """
    return run(PairDecisions(), engine, path, seed=seed)


def best_threshold(scores: Array, expected: Array) -> float:
    """Return the lowest score from which on "1" is right most often: one of ``scores``, or above all."""
    order = np.argsort(scores, kind="stable")
    ordered, labels = scores[order], expected[order]
    # Cut before sample i: what is below is called 0, the rest 1.
    right = (
        np.concatenate([[0], np.cumsum(1 - labels)]) + labels.sum() - np.concatenate([[0], np.cumsum(labels)])
    )
    allowed = np.concatenate([[True], np.diff(ordered) > 0, [True]])
    cut = int(np.argmax(np.where(allowed, right, -1)))
    return float(ordered[cut] if cut < len(ordered) else np.nextafter(ordered[-1], np.inf))


def _of_two(scores: Array, engine: Any) -> Array:
    """Return how much larger the score of class number 1 is than that of class 0."""
    if scores.shape[1] != 2:
        raise InputError(
            f"the model has {scores.shape[1]} labels: decisions about pairs need a score or two labels; use "
            "bertc eval classify"
        )
    labels = engine.info.labels if hasattr(engine, "info") else NAMES
    first, second = documented_order(labels) or (0, 1)
    return np.asarray(scores[:, second] - scores[:, first])


def _number(row: LabeledRow) -> float:
    try:
        value = float(row.label)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{row.where}: the label is {row.label!r}, expected a number")
    return value
