"""Question answering: how many answers are those that people gave, and how much of them.

Data is a JSON file as SQuAD 1.1 and 2.0 have it: articles of paragraphs, each a context with questions and
the answers that people gave. A question without answers (SQuAD 2.0) is answered right by an empty answer.
"""

from __future__ import annotations

import json
import re
import string
from collections import Counter
from collections.abc import Iterator
from os import PathLike
from typing import Any, NamedTuple

import numpy as np

from bertc.errors import InputError
from bertc.evaluation.engine import QuestionAnswerer, Result, token_counts
from bertc.files.lines import open_bytes

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


class Question(NamedTuple):
    """A question, the text that may have the answer, and the answers that people gave."""

    question: str
    context: str
    answers: tuple[str, ...]


def read(path: str | PathLike[str]) -> list[Question]:
    """Return all questions of a file. Raises ``InputError`` that names the place of what is wrong."""
    with open_bytes(path) as file:
        raw = file.read()
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is no JSON: {error}") from None
    questions = list(_questions(data, f"{path}: "))
    if not questions:
        raise InputError(f"{path}: no questions")
    return questions


def _questions(data: Any, where: str) -> Iterator[Question]:
    for article, in_article in _items(data, "data", where):
        for paragraph, in_paragraph in _items(article, "paragraphs", in_article):
            context = _text(paragraph, "context", in_paragraph)
            for entry, here in _items(paragraph, "qas", in_paragraph):
                answers = tuple(
                    _text(answer, "text", there) for answer, there in _items(entry, "answers", here)
                )
                yield Question(_text(entry, "question", here), context, answers)


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


def evaluate(engine: QuestionAnswerer, path: str | PathLike[str]) -> Result:
    """Return exact match and F1 over all questions, times 100, as the script of SQuAD computes them.

    Answers are compared without case, punctuation and articles; F1 is that of their words, and the best over
    the answers that people gave. Only where the data has questions without answers may the engine leave one
    unanswered; then there are also the scores of both kinds of questions. Raises ``InputError`` as
    :func:`read` does.
    """
    questions = read(path)
    golds = [_golds(each) for each in questions]
    unanswerable = np.array([gold == [""] for gold in golds])
    found = engine.answer(
        [each.question for each in questions],
        [each.context for each in questions],
        handle_impossible_answer=bool(unanswerable.any()),
    )
    texts = [normalize(each["answer"]) for each in found]
    exact = np.array([text in gold for text, gold in zip(texts, golds, strict=True)])
    f1 = np.array([max(_f1(text, each) for each in gold) for text, gold in zip(texts, golds, strict=True)])
    kinds = {"": np.ones_like(unanswerable)}
    if unanswerable.any() and not unanswerable.all():
        kinds |= {"answerable_": ~unanswerable, "unanswerable_": unanswerable}
    pairs = [(each.question, each.context) for each in questions]
    return Result(
        metrics={
            f"{kind}{name}": 100 * float(scores[chosen].mean())
            for kind, chosen in kinds.items()
            for name, scores in (("exact_match", exact), ("f1", f1))
        },
        counts={
            "samples": len(questions),
            "unanswerable": int(unanswerable.sum()),
            **token_counts(engine, pairs, truncate=False),
        },
    )


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
