"""Named entities: entity-level F1, precision and recall, and the accuracy of single labels.

Data has a word (or a character) and its label per line, and a blank line between sentences. A line that
has tabs is split by these alone, so that a word may hold spaces. Further columns between the two are
ignored, and so are CoNLL's ``-DOCSTART-`` lines. All of it is scored: a sentence that is too long for the
model is cut into consecutive pieces, and no word is left out.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Sequence
from os import PathLike
from typing import NamedTuple

from bertc.errors import InputError, MissingExtraError
from bertc.evaluation.engine import Result, Tagger, labels_of, token_counts
from bertc.files.lines import read_lines

OUTSIDE = "O"
_LABEL = re.compile("O|[A-Z]-.+")
_DOCUMENT = "-DOCSTART-"
_SAME_LETTERS = str.maketrans("LMUW", "EISS")
"""BILOU, BMES and BMEWO, as BIOES calls the same: the letters that seqeval knows."""
_COARSE = str.maketrans("ES", "IB")
"""BIOES, as IOB2 calls the same."""


class Sentence(NamedTuple):
    """Words, and the label of each."""

    words: list[str]
    labels: list[str]


def read(path: str | PathLike[str]) -> list[Sentence]:
    """All sentences of a file. Raises ``InputError`` with file and line for a line that is no label."""
    sentences: list[Sentence] = []
    current = Sentence([], [])
    for number, line in read_lines(path):
        if line.strip(" \t") and not line.startswith(_DOCUMENT):
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
    line = line.rstrip(" \t")
    cells = line.split("\t") if "\t" in line else re.split(" +", line)
    if len(cells) < 2:
        raise InputError(f"{where}: expected a word and its label, found {line!r}")
    word, label = cells[0], cells[-1].strip(" ")
    if not _LABEL.fullmatch(label):
        raise InputError(f"{where}: the label is {label!r}, expected O, or a prefix and a kind as in B-PER")
    return word, label


def evaluate(engine: Tagger, path: str | PathLike[str], labels: Sequence[str] | None = None) -> Result:
    """Micro-averaged entity F1 (seqeval's default mode) and accuracy over all words, times 100.

    ``labels`` are the model's, the engine's own where they are not given. Where it and the data spell
    entities by different schemes (BIOES, BILOU or the like in one of them), both are scored as IOB2. Raises
    ``InputError`` if the two share no kind of entity, and warns if the data has kinds that the model does
    not know.
    """
    try:
        from seqeval import metrics
        from seqeval.metrics.sequence_labeling import get_entities
    except ImportError:
        raise MissingExtraError("seqeval", "eval", "scoring named entities") from None
    labels = labels_of(engine) if labels is None else labels
    sentences = read(path)
    words = [sentence.words for sentence in sentences]
    found = {label for sentence in sentences for label in sentence.labels}
    _check_kinds(found, labels, path)
    letters = _letters(found, labels)
    expected = [_spell(sentence.labels, letters) for sentence in sentences]
    predicted = [_spell(sentence, letters) for sentence in engine.predict_tags(words)]
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


def _kinds(labels: Iterable[str]) -> set[str]:
    """PER for B-PER; nothing for O, and for what is no label of an entity."""
    return {label[2:] for label in labels if label != OUTSIDE and _LABEL.fullmatch(label)}


def _check_kinds(data: set[str], model: Sequence[str], path: str | PathLike[str]) -> None:
    of_data, of_model = _kinds(data), _kinds(model)
    missing = sorted(of_data - of_model)
    if missing and not of_data & of_model:
        raise InputError(
            f"{path} and the model share no kind of entity: the labels of the data are "
            f"{', '.join(sorted(data))}, those of the model {', '.join(model)}"
        )
    if missing:
        warnings.warn(
            f"{path} has entities that the model does not know, and which count as not found: "
            f"{', '.join(missing)}; the model has {', '.join(sorted(of_model))}",
            stacklevel=3,  # this, evaluate: its caller
        )


def _letters(data: Iterable[str], model: Iterable[str]) -> dict[int, int]:
    """Letter before the hyphen -> the one that both sides are scored by."""
    fine = [any(label[0] in "ESLMUW" for label in labels if _kinds([label])) for labels in (data, model)]
    if fine[0] == fine[1]:
        return _SAME_LETTERS
    return {letter: _COARSE.get(same, same) for letter, same in (_SAME_LETTERS | _COARSE).items()}


def _spell(labels: Sequence[str], letters: dict[int, int]) -> list[str]:
    """Labels in the letters that are scored; what is no label of an entity counts as O."""
    return [label[0].translate(letters) + label[1:] if _kinds([label]) else OUTSIDE for label in labels]
