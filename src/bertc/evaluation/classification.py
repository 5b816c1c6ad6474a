"""Classification of texts and pairs: accuracy, precision, recall and F1.

Data is a tab-separated file without quoting, as GLUE's: a header names the columns, of which those
for the label and for one or two texts are found by their names in ``LABEL_COLUMNS`` and
``TEXT_COLUMNS``. A label is the name of a class, or its number. Numbers mean what the model's names say
(``LABEL_1``), else what the task of these names documents (``DOCUMENTED_ORDERS``), else, with a warning,
the model's own order.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from typing import Any, NamedTuple

import numpy as np

from bertc.errors import InputError
from bertc.evaluation.engine import Classifier, Result, labels_of, token_counts
from bertc.files.lines import read_lines

Array = np.ndarray[Any, Any]

LABEL_COLUMNS = ("label", "gold_label", "Quality", "is_duplicate")
TEXT_COLUMNS = (
    ("sentence1", "sentence2"),
    ("#1 String", "#2 String"),
    ("question1", "question2"),
    ("question", "sentence"),
    ("premise", "hypothesis"),
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


class _Row(NamedTuple):
    """A line of the file, its label not yet looked up."""

    where: str
    text: str | tuple[str, str]
    label: str


def read(path: str | PathLike[str], labels: Sequence[str]) -> list[Sample]:
    """All samples of a file, for a model with these labels (by class number).

    Raises ``InputError`` with file and line for a row without its columns, or with an unknown label. Warns
    where numbers are classes of the model only by a guess.
    """
    if len(labels) < 2:
        raise InputError(f"the model has {len(labels)} label: it gives scores, and tells no classes apart")
    rows = list(_rows(path))
    if not rows:
        raise InputError(f"{path}: no samples")
    by_name = {name.casefold(): index for index, name in enumerate(labels)}
    for name, index in list(by_name.items()):
        if numbered := _LABEL_WITH_NUMBER.fullmatch(name):
            by_name.setdefault(numbered[1], index)
    numbers: dict[str, int] = {}
    if any(row.label.isdecimal() and row.label not in by_name for row in rows):
        numbers = {str(number): index for number, index in enumerate(_order(labels, path))}
    return [Sample(row.text, _class(row, {**numbers, **by_name}, labels)) for row in rows]


def _rows(path: str | PathLike[str]) -> Iterator[_Row]:
    columns: list[int] = []
    for number, line in read_lines(path):
        cells, where = line.split("\t"), f"{path}, line {number}"
        if number == 1:
            columns = _columns(cells, where)
        elif line.strip():
            if len(cells) <= max(columns):
                raise InputError(f"{where}: {len(cells)} columns, expected at least {max(columns) + 1}")
            label, *texts = (cells[column] for column in columns)
            yield _Row(where, texts[0] if len(texts) == 1 else (texts[0], texts[1]), label.strip().casefold())


def _columns(header: Sequence[str], where: str) -> list[int]:
    """Indices of the label and of one or two texts."""
    label = next((name for name in LABEL_COLUMNS if name in header), None)
    texts = next((names for names in TEXT_COLUMNS if set(names) <= set(header)), None)
    if label is None or texts is None:
        missing = "text" if label else "label"
        raise InputError(
            f"{where}: no column for the {missing}: the first line must name the tab-separated columns, "
            "such as label and sentence, or label, sentence1 and sentence2"
        )
    return [header.index(name) for name in (label, *texts)]


def _documented_order(labels: Sequence[str]) -> list[int] | None:
    """The model's class for each class number of the task that has these names, if one is known."""
    names = [re.sub("[- ]", "_", name.casefold()) for name in labels]
    order = next((each for each in DOCUMENTED_ORDERS if sorted(each) == sorted(names)), None)
    return None if order is None else [names.index(name) for name in order]


def _order(labels: Sequence[str], path: str | PathLike[str]) -> list[int]:
    """The model's class for each class number in the data."""
    own = list(range(len(labels)))
    order = _documented_order(labels)
    if order == own:
        return own
    reason = "the order that GLUE documents, not the model's" if order else "the model's order, unchecked"
    meaning = ", ".join(f"{number} is {labels[index]}" for number, index in enumerate(order or own))
    warnings.warn(
        f"{path} numbers its classes, and is read in {reason}: {meaning}. If that is wrong, so is the score: "
        "write names in the label column",
        stacklevel=4,  # this, read, evaluate: their caller
    )
    return order or own


def _class(row: _Row, known: Mapping[str, int], labels: Sequence[str]) -> int:
    if row.label not in known:
        names = ", ".join(f"{number} ({name})" for number, name in enumerate(labels))
        raise InputError(f"{row.where}: the label {row.label!r} is none of the model's: {names}")
    return known[row.label]


def evaluate(engine: Classifier, path: str | PathLike[str], labels: Sequence[str] | None = None) -> Result:
    """Accuracy, precision, recall and F1, times 100.

    For two labels the last three are those of class number 1 (in the task's documented order, if that is
    known), else macro averages over the labels that occur in the data or in the answers. Raises
    ``InputError`` as :func:`read`, or if the engine answers what is none of ``labels``, which are its own if
    they are not given.
    """
    labels = labels_of(engine) if labels is None else labels
    samples = read(path, labels)
    texts = [sample.text for sample in samples]
    answers: Sequence[dict[str, Any]] = engine.classify(texts)
    numbers = {name: i for i, name in enumerate(labels)}
    unknown = next((answer["label"] for answer in answers if answer["label"] not in numbers), None)
    if unknown is not None:
        raise InputError(f"the engine answers {unknown!r}, which is none of the labels {', '.join(labels)}")
    predicted = np.array([numbers[answer["label"]] for answer in answers])
    expected = np.array([sample.label for sample in samples])
    counted = np.union1d(predicted, expected).tolist()
    if len(labels) == 2:
        counted = [(_documented_order(labels) or (0, 1))[1]]
    scores = [_precision_recall_f1(predicted == i, expected == i) for i in counted]
    precision, recall, f1 = 100 * np.mean(scores, axis=0)
    return Result(
        metrics={
            "accuracy": 100 * float(np.mean(predicted == expected)),
            "precision": float(precision),
            "recall": float(recall),
            "f1": float(f1),
        },
        counts={"samples": len(samples), **token_counts(engine, texts)},
    )


def _precision_recall_f1(predicted: Array, expected: Array) -> tuple[float, float, float]:
    """Of one class; 0 where nothing was predicted or expected, as is usual."""
    hits = float(np.sum(predicted & expected))
    precision = hits / max(1.0, float(predicted.sum()))
    recall = hits / max(1.0, float(expected.sum()))
    return precision, recall, 2 * precision * recall / max(precision + recall, 1e-300)
