"""Question answering: how many answers are those that people gave, and how much of them.

Data is a JSON file as SQuAD 1.1 and 2.0 have it: articles of paragraphs, each a context with questions and
the answers that people gave. Or it has a row for each question, in ``.jsonl``, ``.parquet`` or a data set of
the hub: the columns question, context, answers (texts, or ``{"text": [...]}``) and perhaps id. A question
without answers (SQuAD 2.0) is answered right by an empty answer.
"""

from __future__ import annotations

import json
import re
import string
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any, NamedTuple

import numpy as np

from bertc.errors import InputError, warn_caller
from bertc.evaluation.engine import QuestionAnswerer, token_counts
from bertc.evaluation.evaluator import Evaluator
from bertc.evaluation.evaluator import evaluate as run
from bertc.evaluation.result import Case, Outcomes, Result
from bertc.files.lines import open_bytes
from bertc.files.tables import cell, check_ids, has_named_columns, read_table, row_id, text_cell

Array = np.ndarray[Any, Any]

LARGEST_FILE = 2**30
"""The bytes of a JSON file. Its objects take several times as much memory; SQuAD has 42 million."""
LONGEST_CONTEXT = 2**24
"""The characters of a context: some 4 million tokens, which take about 1 GB while they are answered from."""
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


class Question(NamedTuple):
    """A question, the text that may have the answer, and the answers that people gave."""

    question: str
    context: str
    answers: tuple[str, ...]
    id: str = ""


@dataclass(frozen=True)
class Answers(Evaluator[Question]):
    """Scores of answers by SQuAD's rules."""

    metric = "f1"

    def read(self, path: str | PathLike[str]) -> Sequence[Question]:
        """Return all questions of a file."""
        return read(path)

    def answer(self, engine: QuestionAnswerer, samples: Sequence[Question]) -> Outcomes:
        """Return an answer to each question; empty ones only where the data has such."""
        golds = [_golds(each) for each in samples]
        unanswerable = np.array([gold == [""] for gold in golds])
        found = engine.answer(
            [each.question for each in samples],
            [each.context for each in samples],
            handle_impossible_answer=bool(unanswerable.any()),
        )
        answers = [str(each["answer"]) for each in found]
        texts = [normalize(answer) for answer in answers]
        exact = np.array([text in gold for text, gold in zip(texts, golds, strict=True)])
        f1 = np.array(
            [max(_f1(text, each) for each in gold) for text, gold in zip(texts, golds, strict=True)]
        )
        pairs = [(each.question, each.context) for each in samples]
        return Outcomes(
            answers=answers,
            goodness=f1,
            statistics=np.stack([exact, f1, unanswerable], axis=1).astype(np.float64),
            counts={
                "unanswerable": int(unanswerable.sum()),
                **token_counts(engine, pairs, truncate=False),
            },
        )

    def score(self, outcomes: Outcomes, weights: Array) -> dict[str, Array]:
        """Return exact match and F1, times 100; also those of both kinds of questions, if there are two."""
        exact, f1, unanswerable = outcomes.statistics.T
        kinds = {"": np.ones_like(unanswerable)}
        if 0 < unanswerable.sum() < len(unanswerable):
            kinds |= {"answerable_": 1 - unanswerable, "unanswerable_": unanswerable}
        with np.errstate(invalid="ignore"):  # a resample may have no question of a kind
            return {
                f"{kind}{name}": 100 * (weights @ (scores * chosen)) / (weights @ chosen)
                for kind, chosen in kinds.items()
                for name, scores in (("exact_match", exact), ("f1", f1))
            }

    def case(self, sample: Question) -> Case:
        """Return the question with its context, and the answers that people gave."""
        return Case(
            sample.id, f"{sample.question} | {sample.context}", " / ".join(dict.fromkeys(sample.answers))
        )


def evaluate(engine: QuestionAnswerer, path: str | PathLike[str], *, seed: int | None = 0) -> Result:
    """Return exact match and F1 over all questions, times 100, as the script of SQuAD computes them.

    Answers are compared without case, punctuation and articles; F1 is that of their words, and the best over
    the answers that people gave. Only where the data has questions without answers may the engine leave one
    unanswered; then there are also the scores of both kinds of questions. Raises ``InputError`` as
    :func:`read` does.
    """
    return run(Answers(), engine, path, seed=seed)


def read(path: str | PathLike[str]) -> list[Question]:
    """Return all questions of a file. Raises ``InputError`` that names the place of what is wrong.

    Warns of answers that are not in their contexts, since no span of these is right.
    """
    return [question for question, _ in read_with_starts(path)]


def read_with_starts(path: str | PathLike[str]) -> list[tuple[Question, tuple[Any, ...]]]:
    """Return all questions of a file as :func:`read` does, each with where its answers begin in the context.

    These places are as the file has them: unchecked, None or missing where it does not say.
    """
    found = list(_rows(path) if has_named_columns(path) else _questions(_load(path), f"{path}: "))
    if not found:
        raise InputError(f"{path}: no questions")
    check_ids((question.id, where) for question, where, _ in found)
    for question, where, _ in found:
        if len(question.context) > LONGEST_CONTEXT:
            raise InputError(
                f"{where}: the context has {len(question.context):,} characters, which are read at once, and "
                f"at most {LONGEST_CONTEXT:,} may be: cut it into several"
            )
    lost = [each for each in found if any(answer not in each[0].context for answer in each[0].answers)]
    if lost:
        warn_caller(
            f"{lost[0][1]}: an answer is not in the context, so that none that the model can give is right; "
            f"so it is with {len(lost)} of {len(found)} questions: correct them, or take them out"
        )
    return [(question, starts) for question, _, starts in found]


def _load(path: str | PathLike[str]) -> Any:
    with open_bytes(path) as file:
        raw = file.read(LARGEST_FILE + 1)
    if len(raw) > LARGEST_FILE:
        raise InputError(
            f"{path} has more than {LARGEST_FILE:,} bytes, and JSON is read whole: write a row for each "
            "question (.jsonl or .parquet), or several files"
        )
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is no JSON: {error}") from None


def _rows(path: str | PathLike[str]) -> Iterator[tuple[Question, str, tuple[Any, ...]]]:
    """Yield the question of each row, its place, and where its answers begin.

    ``answers`` are as data sets of the hub have them.
    """
    for row in read_table(path):
        given = cell(row, "answers")
        texts = given.get("text") if isinstance(given, dict) else given
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise InputError(f"{row.where}, column answers: expected a list of texts, found {given!r:.60}")
        starts = given.get("answer_start") if isinstance(given, dict) else None
        question, context = (text_cell(row, name) for name in ("question", "context"))
        found = Question(question, context, tuple(texts), row_id(path, row))
        yield found, row.where, tuple(starts) if isinstance(starts, list) else ()


def _questions(data: Any, where: str) -> Iterator[tuple[Question, str, tuple[Any, ...]]]:
    """Yield each question, its place, and where its answers begin."""
    for article, in_article in _items(data, "data", where):
        for paragraph, in_paragraph in _items(article, "paragraphs", in_article):
            context = _text(paragraph, "context", in_paragraph)
            for entry, here in _items(paragraph, "qas", in_paragraph):
                given = list(_items(entry, "answers", here))
                answers = tuple(_text(answer, "text", there) for answer, there in given)
                starts = tuple(answer.get("answer_start") for answer, _ in given)
                place = here.removesuffix(".")
                name = str(entry.get("id", place.removeprefix(where)))
                yield Question(_text(entry, "question", here), context, answers, name), place, starts


def _items(parent: Any, key: str, where: str) -> Iterator[tuple[Any, str]]:
    """Yield the items of a list, each with what stands before its keys in messages."""
    found = parent.get(key) if isinstance(parent, dict) else None
    if not isinstance(found, list):
        raise InputError(f"{where}{key} is no list: expected the JSON of SQuAD")
    for index, item in enumerate(found):
        yield item, f"{where}{key}[{index}]."


def _text(parent: Any, key: str, where: str) -> str:
    found = parent.get(key) if isinstance(parent, dict) else None
    if not isinstance(found, str):
        raise InputError(f"{where}{key} is no text: expected the JSON of SQuAD")
    return found


def normalize(answer: str) -> str:
    """Return an answer as SQuAD compares it: lower case, without punctuation, articles and extra spaces."""
    return " ".join(_ARTICLES.sub(" ", answer.lower().translate(_PUNCTUATION)).split())


def _golds(question: Question) -> list[str]:
    """Return the answers that are right; an empty one where people found none."""
    return [gold for gold in map(normalize, question.answers) if gold] or [""]


def _f1(found: str, gold: str) -> float:
    if not found or not gold:
        return float(found == gold)
    words, expected = found.split(), gold.split()
    same = (Counter(words) & Counter(expected)).total()
    return 2 * same / (len(words) + len(expected))
