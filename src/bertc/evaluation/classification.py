"""Classification of texts and pairs: accuracy, precision, recall and F1.

Data is a tab-separated file without quoting, as GLUE's: a header names the columns, of which those
for the label and for one or two texts are found by their names in ``LABEL_COLUMNS`` and
``TEXT_COLUMNS``. A label is a class number or a name.
"""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any, NamedTuple

import numpy as np

from bertc.errors import InputError
from bertc.evaluation.engine import Result, token_counts
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


class Sample(NamedTuple):
    """A text or a pair, and the number of its class."""

    text: str | tuple[str, str]
    label: int


def read(path: str | PathLike[str], labels: Sequence[str]) -> list[Sample]:
    """All samples of a file, for a model with these labels (by class number).

    Raises ``InputError`` with file and line for a row without its columns, or with an unknown label.
    """
    columns: list[int] = []
    samples: list[Sample] = []
    numbers = {name.casefold(): i for i, name in enumerate(labels)}
    numbers.update((str(i), i) for i in range(len(labels)) if str(i) not in numbers)
    for number, line in read_lines(path):
        cells = line.split("\t")
        if number == 1:
            columns = _columns(cells, f"{path}, line 1")
        elif line.strip():
            samples.append(_sample(cells, columns, numbers, labels, f"{path}, line {number}"))
    if not samples:
        raise InputError(f"{path}: no samples")
    return samples


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


def _sample(
    cells: Sequence[str], columns: Sequence[int], numbers: dict[str, int], labels: Sequence[str], where: str
) -> Sample:
    if len(cells) <= max(columns):
        raise InputError(f"{where}: {len(cells)} columns, expected at least {max(columns) + 1}")
    label, *texts = (cells[column] for column in columns)
    if label.casefold() not in numbers:
        known = ", ".join(f"{i} ({name})" for i, name in enumerate(labels))
        raise InputError(f"{where}: the label {label!r} is none of the model's: {known}")
    return Sample(texts[0] if len(texts) == 1 else (texts[0], texts[1]), numbers[label.casefold()])


def evaluate(engine: Any, path: str | PathLike[str], labels: Sequence[str] | None = None) -> Result:
    """Accuracy and, for two labels, precision, recall and F1 of label 1; else their macro averages.

    ``engine`` is a :class:`Classifier`; without ``labels`` it is one of ours, which has labels of its own.
    """
    labels = engine.info.labels if labels is None else labels
    samples = read(path, labels)
    texts = [sample.text for sample in samples]
    answers: Sequence[dict[str, Any]] = engine.classify(texts)
    numbers = {name: i for i, name in enumerate(labels)}
    unknown = next((answer["label"] for answer in answers if answer["label"] not in numbers), None)
    if unknown is not None:
        raise InputError(f"the engine answers {unknown!r}, which is none of the labels {', '.join(labels)}")
    predicted = np.array([numbers[answer["label"]] for answer in answers])
    expected = np.array([sample.label for sample in samples])
    scores = np.array([_precision_recall_f1(predicted == i, expected == i) for i in range(len(labels))])
    precision, recall, f1 = 100 * (scores[1] if len(labels) == 2 else scores.mean(axis=0))
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
