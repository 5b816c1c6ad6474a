"""What an evaluator needs of an engine, and what it gives back.

``bertc.Encoder`` is such an engine; a peer needs one method with the same shape of answers, and is
then scored by the same code on the same data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol


class Embedder(Protocol):
    """Gives a matrix, one row per text."""

    def encode(self, inputs: Any) -> Any:
        """``inputs``: a list of texts."""


class CrossEncoder(Protocol):
    """Gives a number for each pair of texts."""

    def predict(self, inputs: Any) -> Any:
        """``inputs``: a list of tuples (pairs)."""


class Classifier(Protocol):
    """Gives a list of ``{"label": ..., "score": ...}``."""

    def classify(self, inputs: Any) -> Any:
        """``inputs``: a list of texts, or of tuples (pairs)."""


class Tagger(Protocol):
    """Gives a list of lists of labels, one per word."""

    def predict_tags(self, words: Any) -> Any:
        """``words``: a list of lists of words."""


class QuestionAnswerer(Protocol):
    """Gives a list of ``{"score": ..., "start": ..., "end": ..., "answer": ...}``."""

    def answer(self, question: Any, context: Any, *, handle_impossible_answer: bool = False) -> Any:
        """``question`` and ``context``: lists of texts, as many of one as of the other."""


@dataclass(frozen=True)
class Result:
    """A score, and what it was measured on."""

    metrics: Mapping[str, float]
    """On a scale of 0 to 100."""
    counts: Mapping[str, int]
    """What was scored: samples, tokens, pairs or entities, and how many inputs were truncated."""

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """``{"metrics": {...}, "counts": {...}}`` of plain numbers."""
        return asdict(self)


def labels_of(engine: Any) -> Sequence[str]:
    """The labels of one of our own encoders, by class number."""
    labels: Sequence[str] = engine.info.labels
    return labels


def token_counts(engine: Any, inputs: Sequence[Any], *, truncate: bool = True) -> dict[str, int]:
    """Tokens and truncated inputs by the engine's ``count_tokens``; nothing for one that cannot tell."""
    if not hasattr(engine, "count_tokens"):
        return {}
    counts = engine.count_tokens(inputs, truncate=truncate)
    return {"tokens": counts.tokens, "truncated": counts.truncated}
