"""Measures how good each engine's embeddings are, by one evaluator on the same sentences."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from bertc.evaluation import sts
from bertc.fidelity import cosine

Array = np.ndarray[Any, Any]


def sentences(path: Path) -> tuple[str, ...]:
    """Return both sentences of each pair of an STS file. Raises ``InputError`` as ``sts.read`` does."""
    return tuple(text for pair in sts.read(path) for text in (pair.first, pair.second))


def measure_accuracy(
    embeddings: Mapping[str, Array], path: Path, reference: str | None
) -> list[dict[str, Any]]:
    """Return a row of scores for each engine's float32 ``embeddings`` [sentences, hidden] of a file.

    They are Pearson's and Spearman's correlation with the scores in the file, times 100, and the mean and
    smallest cosine with the embeddings of the engine ``reference``; None without one.
    """
    rows = []
    for name, vectors in embeddings.items():
        recorded = SimpleNamespace(encode=lambda _, found=vectors: found)
        row = {"engine": name, **sts.evaluate(recorded, path, seed=None).metrics}
        similarity = None if reference is None else cosine(vectors, embeddings[reference])
        row["mean_cosine"] = None if similarity is None else float(similarity.mean())
        row["worst_cosine"] = None if similarity is None else float(similarity.min())
        rows.append(row)
    return rows
