"""Semantic textual similarity: how well cosine similarity ranks pairs of sentences.

Data is the STS benchmark's own format, tab-separated without quoting: genre, file, year, id, score,
sentence1, sentence2, and perhaps more columns, which are ignored; or GLUE's STS-B with its header.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from os import PathLike
from typing import Any, NamedTuple

import numpy as np

from bertc.errors import InputError, MissingExtraError
from bertc.evaluation.engine import CrossEncoder, Embedder, Result, token_counts
from bertc.files.lines import read_lines

Array = np.ndarray[Any, Any]

_COLUMNS = {"score": 4, "sentence1": 5, "sentence2": 6}


class ScoredPair(NamedTuple):
    """Two sentences, and how similar people found them."""

    first: str
    second: str
    score: float


def read(path: str | PathLike[str]) -> list[ScoredPair]:
    """All pairs of a file. Raises ``InputError`` with file and line for a row that is none."""
    columns = _COLUMNS
    pairs: list[ScoredPair] = []
    for number, line in read_lines(path):
        cells = line.split("\t")
        if number == 1 and _COLUMNS.keys() <= set(cells):
            columns = {name: cells.index(name) for name in _COLUMNS}
        elif line.strip():
            pairs.append(_pair(cells, columns, f"{path}, line {number}"))
    if len(pairs) < 2:
        raise InputError(f"{path}: {len(pairs)} pairs, a correlation needs at least 2")
    return pairs


def _pair(cells: Sequence[str], columns: dict[str, int], where: str) -> ScoredPair:
    if len(cells) <= max(columns.values()):
        raise InputError(
            f"{where}: {len(cells)} columns, expected at least {max(columns.values()) + 1}, tab-separated"
        )
    text = cells[columns["score"]]
    try:
        score = float(text)
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise InputError(f"{where}: the score is {text!r}, expected a number")
    return ScoredPair(cells[columns["sentence1"]], cells[columns["sentence2"]], score)


def evaluate(engine: Embedder | CrossEncoder, path: str | PathLike[str]) -> Result:
    """Pearson and Spearman correlation of similarities with the scores in the file, times 100.

    Similarity is the cosine of two vectors, or what a cross-encoder predicts of a pair.
    """
    try:
        from scipy import stats
    except ImportError:
        raise MissingExtraError("scipy", "eval", "scoring sentence similarity") from None
    pairs = read(path)
    texts: list[Any] = [text for pair in pairs for text in (pair.first, pair.second)]
    if hasattr(engine, "predict"):
        texts = [(pair.first, pair.second) for pair in pairs]
        similarities = np.asarray(engine.predict(texts), np.float64)
    else:
        vectors = np.asarray(engine.encode(texts), np.float64)
        similarities = _cosine(vectors[::2], vectors[1::2])
    scores = np.array([pair.score for pair in pairs])
    for values, what in ((similarities, "the similarities"), (scores, f"the scores in {path}")):
        if np.ptp(values) == 0:
            raise InputError(f"{what} are all the same: no correlation is defined")
    return Result(
        metrics={
            "pearson": 100 * float(stats.pearsonr(similarities, scores).statistic),
            "spearman": 100 * float(stats.spearmanr(similarities, scores).statistic),
        },
        counts={"samples": len(pairs), "pairs": len(pairs), **token_counts(engine, texts)},
    )


def _cosine(a: Array, b: Array) -> Array:
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.asarray((a * b).sum(axis=1) / np.maximum(norms, 1e-12))
