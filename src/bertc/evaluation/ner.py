"""Named entities: entity-level F1, precision and recall, and the accuracy of single labels.

Data has a word (or a character) and its label per line, and a blank line between sentences. Further
columns between the two are ignored. All of it is scored: a sentence that is too long for the model
is cut into consecutive pieces, and no word is left out.
"""

from __future__ import annotations

import re
from os import PathLike
from typing import NamedTuple

from bertc.errors import InputError, MissingExtraError
from bertc.evaluation.engine import Result, Tagger, token_counts
from bertc.files.lines import read_lines

_SEPARATOR = re.compile("[ \t]+")
_LABEL = re.compile("O|[A-Z]-.+")


class Sentence(NamedTuple):
    """Words, and the label of each."""

    words: list[str]
    labels: list[str]


def read(path: str | PathLike[str]) -> list[Sentence]:
    """All sentences of a file. Raises ``InputError`` with file and line for a line that is no label."""
    sentences: list[Sentence] = []
    current = Sentence([], [])
    for number, line in read_lines(path):
        if line.strip(" \t"):
            word, label = _columns(line, f"{path}, line {number}")
            current.words.append(word)
            current.labels.append(label)
        elif current.words:
            sentences.append(current)
            current = Sentence([], [])
    if current.words:
        sentences.append(current)
    if not sentences:
        raise InputError(f"{path}: no sentences")
    return sentences


def _columns(line: str, where: str) -> tuple[str, str]:
    cells = _SEPARATOR.split(line.rstrip(" \t"))
    if len(cells) < 2:
        raise InputError(f"{where}: expected a word and its label, found {line!r}")
    if not _LABEL.fullmatch(cells[-1]):
        raise InputError(
            f"{where}: the label is {cells[-1]!r}, expected O, or a prefix and a kind as in B-PER"
        )
    return cells[0], cells[-1]


def evaluate(engine: Tagger, path: str | PathLike[str]) -> Result:
    """Micro-averaged entity F1 (seqeval's default mode) and accuracy over all words, times 100."""
    try:
        from seqeval import metrics
        from seqeval.metrics.sequence_labeling import get_entities
    except ImportError:
        raise MissingExtraError("seqeval", "eval", "scoring named entities") from None
    sentences = read(path)
    words = [sentence.words for sentence in sentences]
    expected = [sentence.labels for sentence in sentences]
    predicted = engine.predict_tags(words)
    return Result(
        metrics={
            "f1": 100 * float(metrics.f1_score(expected, predicted, zero_division=0)),
            "precision": 100 * float(metrics.precision_score(expected, predicted, zero_division=0)),
            "recall": 100 * float(metrics.recall_score(expected, predicted, zero_division=0)),
            "accuracy": 100 * float(metrics.accuracy_score(expected, predicted)),
        },
        counts={
            "samples": len(sentences),
            "words": sum(map(len, words)),
            "entities": len(get_entities(expected)),
            **token_counts(engine, words, truncate=False),
        },
    )
