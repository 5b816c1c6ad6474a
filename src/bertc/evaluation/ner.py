"""Named entities: entity-level F1, precision and recall, and the accuracy and F1 of single labels.

Data has a word (or a character) and its label per line, and a blank line between sentences. A line that
has tabs is split by these alone, so that a word may hold spaces. Of further columns those that the evaluator
does not name are ignored, and so are CoNLL's ``-DOCSTART-`` lines. Or it has a row for each sentence, in
``.jsonl``, ``.parquet`` or a data set of the hub, with lists of words and labels (``LIST_COLUMNS``). All
is scored: a sentence that is too long for the model is cut into consecutive pieces, and no word is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any, NamedTuple

import numpy as np

from bertc.errors import InputError, warn_caller
from bertc.evaluation.classification import class_scores, confusion
from bertc.evaluation.engine import Tagger, labels_of, token_counts
from bertc.evaluation.evaluator import Evaluator
from bertc.evaluation.evaluator import evaluate as run
from bertc.evaluation.metrics import classes
from bertc.evaluation.metrics.entities import OUTSIDE, Entity, entities
from bertc.evaluation.result import Case, Outcomes, Result
from bertc.evaluation.tag_schemes import check_scheme, is_entity, kinds, spell_alike
from bertc.files.lines import read_lines
from bertc.files.tables import cell, check_ids, has_named_columns, read_table, row_id

Array = np.ndarray[Any, Any]

FIRST_AND_LAST = (0, -1)
"""The columns of words and labels."""
LIST_COLUMNS = (("tokens", "words"), ("ner_tags", "tags", "labels"))
"""The columns of words and labels, by name, where a row has lists of them: the first that is there."""
_DOCUMENT = "-DOCSTART-"


class Sentence(NamedTuple):
    """Words, and the label of each."""

    words: list[str]
    labels: list[str]
    id: str = ""


@dataclass(frozen=True)
class NamedEntities(Evaluator[Sentence]):
    """Scores of entities, micro-averaged, and of the labels of words."""

    metric = "f1"

    labels: Sequence[str] | None = None
    """The labels that the model may give; those of the engine where none are given."""
    columns: tuple[int, int] = FIRST_AND_LAST
    """The places of words and labels, from 0; negative ones count from the end."""

    def bound(self, engine: Any) -> NamedEntities:
        """Return the evaluator with the engine's labels."""
        return self if self.labels is not None else replace(self, labels=tuple(labels_of(engine)))

    def read(self, path: str | PathLike[str]) -> Sequence[Sentence]:
        """Return all sentences of a file. Raises ``InputError`` where the model knows no kind of entity."""
        sentences = read(path, self.columns)
        _check_kinds({label for each in sentences for label in each.labels}, self.labels or (), path)
        return sentences

    def answer(self, engine: Tagger, samples: Sequence[Sentence]) -> Outcomes:
        """Return the labels of each sentence."""
        words = [sentence.words for sentence in samples]
        given = [sentence.labels for sentence in samples]
        expected, predicted = spell_alike(given, engine.predict_tags(words), self.labels or ())
        names = sorted(
            {label[2:] for some in (expected, predicted) for each in some for label in each} - {""}
        )
        golds, found = ([set(entities(each)) for each in some] for some in (expected, predicted))
        counted = _count_entities(golds, found, names)
        hits, told, true = counted.reshape(len(samples), 3, -1).sum(axis=2).T
        return Outcomes(
            answers=[_in_words(sentence, each) for sentence, each in zip(samples, found, strict=True)],
            goodness=2 * hits - told - true,
            statistics=np.concatenate([counted, _count_words(expected, predicted)], axis=1),
            counts={
                "words": sum(map(len, words)),
                "entities": int(true.sum()),
                **token_counts(engine, words, truncate=False),
            },
            classes=class_scores(names, counted.sum(axis=0)),
            confusion=confusion(
                [*names, OUTSIDE], *(_numbers(some, names) for some in (expected, predicted))
            ),
        )

    def score(self, outcomes: Outcomes, weights: Array) -> dict[str, Array]:
        """Return all metrics, times 100."""
        totals = weights @ outcomes.statistics
        words, right, *labeled = totals[:, -5:].T
        by_kind = totals[:, :-5].reshape(len(weights), 3, -1)
        precision, recall, f1 = classes.precision_recall_f1(*by_kind.sum(axis=2).T)
        token_f1 = classes.precision_recall_f1(*labeled)[2]
        scores = {"f1": f1, "precision": precision, "recall": recall, "accuracy": right / words}
        return {name: 100 * score for name, score in {**scores, "token_f1": token_f1}.items()}

    def case(self, sample: Sentence) -> Case:
        """Return the words in a row, and the entities."""
        text = _glue(sample.words).join(sample.words)
        (labels,), _ = spell_alike([sample.labels], [[]], self.labels or ())
        return Case(sample.id, text, _in_words(sample, set(entities(labels))))


def evaluate(
    engine: Tagger, path: str | PathLike[str], labels: Sequence[str] | None = None, *, seed: int | None = 0
) -> Result:
    """Return micro-averaged entity F1 (seqeval's default mode) and accuracy over all words, times 100.

    ``token_f1`` is that of the labels of words which are not O. ``labels`` are the model's, the engine's own
    where they are not given. Where it and the data spell entities by different schemes (BIOES, BILOU, IOB1 or
    the like in one of them), both are scored as IOB2. Raises ``InputError`` if the two share no kind of
    entity, and warns if the data has kinds that the model does not know.
    """
    return run(NamedEntities(None if labels is None else tuple(labels)), engine, path, seed=seed)


def read(path: str | PathLike[str], columns: tuple[int, int] = FIRST_AND_LAST) -> list[Sentence]:
    """Return all sentences of a file.

    ``columns`` are the places of words and labels in lines. Raises ``InputError`` with file and line for a
    line that has no label, and for labels of several schemes.
    """
    places: dict[str, str] = {}
    found = _read_rows if has_named_columns(path) else _read_lines
    sentences = list(found(path, columns, places))
    if not sentences:
        raise InputError(f"{path}: no sentences")
    check_scheme(places)
    return sentences


def _read_lines(
    path: str | PathLike[str], columns: tuple[int, int], places: dict[str, str]
) -> Iterator[Sentence]:
    """Yield the sentences of lines; ``places`` gets the first place of each label."""
    current = Sentence([], [])
    for number, line in read_lines(path):
        if line.strip(" \t") and not line.startswith(_DOCUMENT):
            where = f"{path}, line {number}"
            word, label = _cells(line, where, columns)
            places.setdefault(label, where)
            current = current if current.words else Sentence([], [], f"line {number}")
            current.words.append(word)
            current.labels.append(label)
        elif current.words:
            yield current
            current = Sentence([], [])
    if current.words:
        yield current


def _read_rows(path: str | PathLike[str], _: tuple[int, int], places: dict[str, str]) -> Iterator[Sentence]:
    """Yield the sentences of rows with a list of words and one of labels, by ``LIST_COLUMNS``."""
    rows = list(read_table(path))
    check_ids((row_id(path, row), row.where) for row in rows)
    for row in rows:
        chosen = [next((name for name in names if name in row.cells), names[0]) for names in LIST_COLUMNS]
        words, labels = (cell(row, name) for name in chosen)
        for name, values in zip(chosen, (words, labels), strict=True):
            if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
                raise InputError(
                    f"{row.where}, column {name}: expected a list of texts, found {values!r:.60}"
                )
        if len(words) != len(labels):
            raise InputError(
                f"{row.where}: {len(words)} {chosen[0]}, but {len(labels)} {chosen[1]}: each needs its own"
            )
        for index, label in enumerate(labels):
            where = f"{row.where}, column {chosen[1]}, item {index}"
            _check_label(label, where)
            places.setdefault(label, where)
        if words:
            yield Sentence(words, labels, row_id(path, row))


def _cells(line: str, where: str, columns: tuple[int, int]) -> tuple[str, str]:
    line = line.rstrip(" \t")
    cells = line.split("\t") if "\t" in line else re.split(" +", line)
    if len(cells) < 2:
        raise InputError(f"{where}: expected a word and its label, found {line!r}")
    if any(not -len(cells) <= column < len(cells) for column in columns):
        wanted = " and ".join(str(column + (column >= 0)) for column in columns)
        raise InputError(f"{where}: {len(cells)} columns, but columns {wanted} are wanted")
    word, label = cells[columns[0]], cells[columns[1]].strip(" ")
    header = " (a header? take it out)" if where.endswith(", line 1") else ""
    _check_label(label, f"{where}, column {columns[1] % len(cells) + 1}", header)
    return word, label


def _check_label(label: str, where: str, hint: str = "") -> None:
    if label != OUTSIDE and not is_entity(label):
        raise InputError(
            f"{where}: the label is {label!r}, expected O, or a prefix and a kind as in B-PER{hint}"
        )


def _check_kinds(data: set[str], model: Sequence[str], path: str | PathLike[str]) -> None:
    of_data, of_model = kinds(data), kinds(model)
    missing = sorted(of_data - of_model)
    if missing and not of_data & of_model:
        raise InputError(
            f"{path} and the model share no kind of entity: the labels of the data are "
            f"{', '.join(sorted(data))}, those of the model {', '.join(model)}"
        )
    if missing:
        warn_caller(
            f"{path} has entities that the model does not know, and which count as not found: "
            f"{', '.join(missing)}; the model has {', '.join(sorted(of_model))}"
        )


def _count_entities(
    golds: Sequence[set[Entity]], found: Sequence[set[Entity]], names: Sequence[str]
) -> Array:
    """Return how many entities of each kind are right, predicted and expected, [sentences, 3 * kinds]."""
    counts = np.zeros((len(golds), 3, len(names)))
    places = {name: place for place, name in enumerate(names)}
    for row, gold, told in zip(counts, golds, found, strict=True):
        for line, some in zip(row, (gold & told, told, gold), strict=True):
            for kind, _, _ in some:
                line[places[kind]] += 1
    return counts.reshape(len(golds), -1)


def _count_words(expected: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> Array:
    """Return of each sentence: words, right ones; of labels but O: right, predicted, expected ones."""
    rows = []
    for golds, found in zip(expected, predicted, strict=True):
        right = [gold for gold, label in zip(golds, found, strict=True) if gold == label]
        inside = (len(some) - some.count(OUTSIDE) for some in (right, [*found], [*golds]))
        rows.append((len(golds), len(right), *inside))
    return np.array(rows, np.float64)


def _numbers(sentences: Sequence[Sequence[str]], names: Sequence[str]) -> Array:
    """Return the number of each word's kind, O's being the last."""
    places = {name: place for place, name in enumerate(names)}
    return np.array([places.get(label[2:], len(names)) for each in sentences for label in each])


def _in_words(sentence: Sentence, found: set[Entity]) -> str:
    glue = _glue(sentence.words)
    ordered = sorted(found, key=lambda entity: entity[1:])
    return "; ".join(f"{kind} {glue.join(sentence.words[a : b + 1])}" for kind, a, b in ordered) or "none"


def _glue(words: Sequence[str]) -> str:
    """Return what stands between words: nothing where each is one character."""
    return "" if all(len(word) == 1 for word in words) else " "
