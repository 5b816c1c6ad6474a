"""Measures how good each engine's embeddings are, by one evaluator on the same sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bertc.evaluation import sts
from bertc.fidelity import cosine

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Accuracy:
    """The scores of an engine on an STS file."""

    spearman: float
    """Spearman's correlation with the scores in the file, times 100."""
    pearson: float
    """Pearson's correlation with the scores in the file, times 100."""
    mean_cosine: float | None
    """The mean cosine of its embeddings with those of a model in fp32; None without such a model."""
    worst_cosine: float | None
    """The smallest cosine of its embeddings with those of the model in fp32; None without such a model."""


def sentences(path: Path) -> tuple[str, ...]:
    """Return both sentences of each pair of an STS file. Raises ``InputError`` as ``sts.read`` does."""
    return tuple(text for pair in sts.read(path) for text in (pair.first, pair.second))


def measure_accuracy(
    embeddings: Mapping[str, Array], path: Path, reference: str | None
) -> dict[str, Accuracy]:
    """Score each engine's float32 ``embeddings`` [sentences, hidden] of the file's :func:`sentences`.

    ``reference`` names the engine whose embeddings count as right.
    """
    truth = None if reference is None else embeddings[reference]
    return {name: _score(path, vectors, truth) for name, vectors in embeddings.items()}


class _Recorded:
    """An engine that returns embeddings which were recorded before."""

    def __init__(self, vectors: Array) -> None:
        self._vectors = vectors

    def encode(self, inputs: Any) -> Array:
        assert len(inputs) == len(self._vectors)
        return self._vectors


def _score(path: Path, vectors: Array, truth: Array | None) -> Accuracy:
    metrics = sts.evaluate(_Recorded(vectors), path).metrics
    similarity = None if truth is None else cosine(vectors, truth)
    return Accuracy(
        spearman=metrics["spearman"],
        pearson=metrics["pearson"],
        mean_cosine=None if similarity is None else float(similarity.mean()),
        worst_cosine=None if similarity is None else float(similarity.min()),
    )
