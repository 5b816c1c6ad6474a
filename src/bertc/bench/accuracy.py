"""How good each engine's answers are, by one evaluator on the same sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from bertc.evaluation import sts
from bertc.fidelity import cosine

Array = np.ndarray[Any, Any]


class Encodes(Protocol):
    """An engine, as far as its accuracy is concerned."""

    def encode(self, texts: Sequence[str]) -> Any:
        """Float32 [texts, hidden]."""


@dataclass(frozen=True)
class Accuracy:
    """On an STS file."""

    spearman: float
    """Times 100."""
    pearson: float
    mean_cosine: float | None
    """Of the embeddings with those of the reference, a model in fp32; None without one."""
    worst_cosine: float | None


def measure_accuracy(
    engines: Mapping[str, Encodes], path: Path, reference: str | None
) -> dict[str, Accuracy]:
    """Score all engines; ``reference`` names the one whose embeddings count as right."""
    pairs = sts.read(path)
    texts = [text for pair in pairs for text in (pair.first, pair.second)]
    embeddings = {name: np.asarray(engine.encode(texts), np.float32) for name, engine in engines.items()}
    truth = None if reference is None else embeddings[reference]
    return {name: _score(path, vectors, truth) for name, vectors in embeddings.items()}


class _Recorded:
    """An engine that has answered already."""

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
