"""Classification of texts and pairs: accuracy, precision, recall, F1 and Matthews correlation.

Data is a table with a line that names its columns, tab-separated without quoting as GLUE's, or ``.csv``,
``.jsonl``, ``.parquet``: the columns for the label and for one or two texts are found by their names in
``LABEL_COLUMNS`` and ``TEXT_COLUMNS``. A label is the name of a class, or its number. Numbers mean what the
model's names say (``LABEL_1``), else what the task of these names documents (``DOCUMENTED_ORDERS``), else,
with a warning, the model's own order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any, NamedTuple

import numpy as np

from bertc.errors import InputError, warn_caller
from bertc.evaluation.engine import Classifier, labels_of, token_counts
from bertc.evaluation.evaluator import Evaluator
from bertc.evaluation.evaluator import evaluate as run
from bertc.evaluation.metrics import classes
from bertc.evaluation.result import Case, Confusion, Outcomes, Result
from bertc.files.tables import cell, check_ids, read_table, row_id, text_cell
from bertc.files.texts import Row

Array = np.ndarray[Any, Any]

LABEL_COLUMNS = ("label", "gold_label", "Quality", "is_duplicate", "score")
TEXT_COLUMNS = (
    ("sentence1", "sentence2"),
    ("#1 String", "#2 String"),
    ("question1", "question2"),
    ("question", "sentence"),
    ("premise", "hypothesis"),
    ("query", "document"),
    ("text_a", "text_b"),
    ("sentence",),
    ("text",),
)
"""The first whose columns are all there is used: MRPC, QQP, QNLI, MNLI and RTE, SST-2, ..."""


DOCUMENTED_ORDERS = (
    ("negative", "positive"),
    ("unacceptable", "acceptable"),
    ("not_equivalent", "equivalent"),
    ("not_duplicate", "duplicate"),
    ("entailment", "neutral", "contradiction"),
)
"""What class numbers mean in GLUE: SST-2, CoLA, MRPC, QQP, and MNLI as in SNLI. RTE and WNLI number the same
two names in opposite orders, so that no order is known for those."""

_LABEL_WITH_NUMBER = re.compile("label_([0-9]+)")


class Sample(NamedTuple):
    """A text or a pair, and the number of its class in the model."""

    text: str | tuple[str, str]
    label: int
    id: str = ""


class LabeledRow(NamedTuple):
    """A row of the file, its label not yet looked up."""

    where: str
    id: str
    text: str | tuple[str, str]
    label: str


@dataclass(frozen=True)
class Classification(Evaluator[Sample]):
    """Scores of decisions among the labels of a model."""

    metric = "accuracy"
    decides = True

    labels: Sequence[str] = ()
    """The labels by class number; those of the engine where none are given."""
    columns: tuple[str, ...] = ()
    """The columns of the label and of one or two texts, as :func:`labeled_rows` takes them."""

    def bound(self, engine: Any) -> Classification:
        """Return the evaluator with the engine's labels."""
        return self if self.labels else replace(self, labels=tuple(labels_of(engine)))

    def read(self, path: str | PathLike[str]) -> Sequence[Sample]:
        """Return all samples of a file."""
        return read(path, self.labels, self.columns)

    def answer(self, engine: Classifier, samples: Sequence[Sample]) -> Outcomes:
        """Return the label of each sample. Raises ``InputError`` for an answer that is none of the labels."""
        texts = [sample.text for sample in samples]
        answers = [answer["label"] for answer in engine.classify(texts)]
        numbers = {name: number for number, name in enumerate(self.labels)}
        if unknown := [answer for answer in answers if answer not in numbers]:
            raise InputError(
                f"the engine answers {unknown[0]!r}, which is none of the labels {', '.join(self.labels)}"
            )
        predicted = np.array([numbers[answer] for answer in answers])
        expected = np.array([sample.label for sample in samples])
        statistics = classes.one_hot(expected, predicted, len(self.labels))
        return Outcomes(
            answers=answers,
            goodness=(predicted == expected).astype(np.float64),
            statistics=statistics,
            counts=token_counts(engine, texts),
            classes=class_scores(self.labels, statistics.sum(axis=0)),
            confusion=confusion(self.labels, expected, predicted),
        )

    def score(self, outcomes: Outcomes, weights: Array) -> dict[str, Array]:
        """Return all metrics, times 100; precision, recall and f1 as :func:`evaluate` says."""
        totals = (weights @ outcomes.statistics).reshape(len(weights), 3, -1)
        hits, predicted, expected = totals[:, 0], totals[:, 1], totals[:, 2]
        each = classes.precision_recall_f1(hits, predicted, expected)
        seen = (predicted + expected > 0).astype(np.float64)
        chosen = [_mean(score, seen) for score in each]
        macro, weighted = chosen[2], _mean(each[2], expected)
        accuracy = hits.sum(axis=1) / expected.sum(axis=1)
        if len(self.labels) == 2:
            positive = (documented_order(self.labels) or (0, 1))[1]
            chosen = [score[:, positive] for score in each]
        scores = (accuracy, *chosen, macro, accuracy, weighted, classes.matthews(hits, predicted, expected))
        return {name: 100 * score for name, score in zip(_METRICS, scores, strict=True)}

    def case(self, sample: Sample) -> Case:
        """Return the text, or both, and the name of the label."""
        text = sample.text if isinstance(sample.text, str) else " | ".join(sample.text)
        return Case(sample.id, text, self.labels[sample.label])


_METRICS = ("accuracy", "precision", "recall", "f1", "f1_macro", "f1_micro", "f1_weighted", "matthews")
"""Where a sample has one label, micro-averaged F1 is accuracy."""


def evaluate(
    engine: Classifier,
    path: str | PathLike[str],
    labels: Sequence[str] | None = None,
    *,
    seed: int | None = 0,
) -> Result:
    """Return accuracy, precision, recall, F1 and Matthews correlation, times 100.

    For two labels precision, recall and f1 are those of class number 1 (in the task's documented order, if
    that is known), else macro averages over the labels that occur in the data or in the answers. Raises
    ``InputError`` as :func:`read`, or if the engine answers what is none of ``labels``, which are its own if
    they are not given.
    """
    return run(Classification(() if labels is None else tuple(labels)), engine, path, seed=seed)


def read(path: str | PathLike[str], labels: Sequence[str], columns: tuple[str, ...] = ()) -> list[Sample]:
    """Return all samples of a file, for a model with these labels (by class number).

    Raises ``InputError`` with file, line and column for a row without its columns, or with an unknown label.
    Warns where numbers are classes of the model only by a guess.
    """
    if len(labels) < 2:
        raise InputError(f"the model has {len(labels)} label: it gives scores, and tells no classes apart")
    rows = labeled_rows(path, columns)
    by_name = {name.casefold(): index for index, name in enumerate(labels)}
    for name, index in list(by_name.items()):
        if numbered := _LABEL_WITH_NUMBER.fullmatch(name):
            by_name.setdefault(numbered[1], index)
    numbers: dict[str, int] = {}
    if any(row.label.isdecimal() and row.label not in by_name for row in rows):
        numbers = {str(number): index for number, index in enumerate(_order(labels, path))}
    return [Sample(row.text, _class(row, {**numbers, **by_name}, labels), row.id) for row in rows]


def labeled_rows(path: str | PathLike[str], columns: tuple[str, ...] = ()) -> list[LabeledRow]:
    """Return the rows of a table that has a column for a label, and one or two for texts.

    ``columns`` are their names, or numbers from 1 in a table without a line of names, as CoLA's; without
    any, they are found by their names.
    """
    rows = list(_rows(path, columns))
    if not rows:
        raise InputError(f"{path}: no samples")
    check_ids((row.id, row.where) for row in rows)
    return rows


def _rows(path: str | PathLike[str], columns: tuple[str, ...]) -> Iterator[LabeledRow]:
    for row in read_table(path, numbered=bool(columns) and columns[0].isdecimal()):
        columns = columns or _columns(row, f"{path}, line 1")
        label, *texts = columns
        found = [text_cell(row, text) for text in texts]
        text = found[0] if len(found) == 1 else (found[0], found[1])
        name = str(cell(row, label)).strip()
        yield LabeledRow(f"{row.where}, column {label}", row_id(path, row), text, name)


def _columns(row: Row, where: str) -> tuple[str, ...]:
    """Return the names of the columns of the label and of one or two texts."""
    label = next((name for name in LABEL_COLUMNS if name in row.cells), None)
    texts = next((names for names in TEXT_COLUMNS if set(names) <= set(row.cells)), None)
    if label is None or texts is None:
        missing = "text" if label else "label"
        raise InputError(
            f"{where}: no column for the {missing}: the first line must name the columns, such as label and "
            "sentence, or label, sentence1 and sentence2"
        )
    return (label, *texts)


def documented_order(labels: Sequence[str]) -> list[int] | None:
    """Return the model's class for each class number of the task that has these names, if one is known."""
    names = [re.sub("[- ]", "_", name.casefold()) for name in labels]
    order = next((each for each in DOCUMENTED_ORDERS if sorted(each) == sorted(names)), None)
    return None if order is None else [names.index(name) for name in order]


def _order(labels: Sequence[str], path: str | PathLike[str]) -> list[int]:
    """The model's class for each class number in the data."""
    own = list(range(len(labels)))
    order = documented_order(labels)
    if order == own:
        return own
    reason = "the order that GLUE documents, not the model's" if order else "the model's order, unchecked"
    meaning = ", ".join(f"{number} is {labels[index]}" for number, index in enumerate(order or own))
    warn_caller(
        f"{path} numbers its classes, and is read in {reason}: {meaning}. If that is wrong, so is the score: "
        "write names in the label column"
    )
    return order or own


def _class(row: LabeledRow, known: Mapping[str, int], labels: Sequence[str]) -> int:
    number = known.get(row.label.casefold())
    if number is None:
        names = ", ".join(f"{number} ({name})" for number, name in enumerate(labels))
        raise InputError(f"{row.where}: the label {row.label!r} is none of the model's: {names}")
    return number


def class_scores(labels: Sequence[str], totals: Array) -> dict[str, dict[str, float]]:
    """Return precision, recall and F1 of each class, times 100, and how many samples are of it.

    ``totals`` [3 * classes] are the sums of :func:`bertc.evaluation.metrics.classes.one_hot`.
    """
    hits, predicted, expected = totals.reshape(3, -1)
    scores = 100 * np.stack(classes.precision_recall_f1(hits, predicted, expected), axis=1)
    return {
        label: {**dict(zip(("precision", "recall", "f1"), row, strict=True)), "samples": int(count)}
        for label, row, count in zip(labels, scores.tolist(), expected.tolist(), strict=True)
    }


def confusion(labels: Sequence[str], expected: Array, predicted: Array) -> Confusion:
    """Return how often each class was taken for which."""
    cells = np.bincount(expected * len(labels) + predicted, minlength=len(labels) ** 2)
    return Confusion(tuple(labels), cells.reshape(len(labels), -1))


def _mean(scores: Array, weights: Array) -> Array:
    return np.asarray((scores * weights).sum(axis=1) / weights.sum(axis=1))
