"""What an evaluator needs of an engine.

``bertc.Encoder`` is such an engine; a peer needs one method with the same shape of answers, and is
then scored by the same code on the same data.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

Array = np.ndarray[Any, Any]


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


class MaskScorer(Protocol):
    """Gives a list of dicts of arrays of one length: tokens, predicted and log_probabilities."""

    def score_masked(self, inputs: Any, *, share: float | None, seed: int) -> Any:
        """``inputs``: a list of texts; ``share`` of the tokens is masked, or each alone if it is None."""


class QuestionAnswerer(Protocol):
    """Gives a list of ``{"score": ..., "start": ..., "end": ..., "answer": ...}``."""

    def answer(self, question: Any, context: Any, *, handle_impossible_answer: bool = False) -> Any:
        """``question`` and ``context``: lists of texts, as many of one as of the other."""


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


def cosine(a: Array, b: Array) -> Array:
    """Return the cosine of each row of ``a`` with the same row of ``b``."""
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.asarray((a * b).sum(axis=1) / np.maximum(norms, 1e-12))
