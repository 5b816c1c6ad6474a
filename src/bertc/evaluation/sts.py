"""Semantic textual similarity: how well cosine similarity ranks pairs of sentences.

Data is the STS benchmark's own format, tab-separated without quoting: genre, file, year, id, score,
sentence1, sentence2, and perhaps more columns, which are ignored; or a table that names the columns score,
sentence1 and sentence2, as GLUE's STS-B.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any, NamedTuple

import numpy as np

from bertc.errors import InputError
from bertc.evaluation.engine import CrossEncoder, Embedder, cosine, token_counts
from bertc.evaluation.evaluator import Evaluator
from bertc.evaluation.evaluator import evaluate as run
from bertc.evaluation.metrics import correlation
from bertc.evaluation.result import Case, Outcomes, Result
from bertc.files.lines import read_lines
from bertc.files.tables import cell, check_ids, is_tab_separated, read_table, row_id, text_cell
from bertc.files.texts import Row

Array = np.ndarray[Any, Any]

_PLACES = {"score": 4, "sentence1": 5, "sentence2": 6}
"""Where a file without a header has them."""
_SAME = 0.01
"""Similarities that differ by less are called the same."""


class ScoredPair(NamedTuple):
    """Two sentences, and how similar people found them."""

    first: str
    second: str
    score: float
    id: str = ""


@dataclass(frozen=True)
class Similarity(Evaluator[ScoredPair]):
    """Correlation of similarities with scores, of an embedder or of a cross-encoder."""

    metric = "spearman"

    def read(self, path: str | PathLike[str]) -> Sequence[ScoredPair]:
        """Return all pairs. Raises ``InputError`` also where all have one score."""
        pairs = read(path)
        _check_varied(np.array([pair.score for pair in pairs]), f"the scores in {path}")
        return pairs

    def answer(self, engine: Embedder | CrossEncoder, samples: Sequence[ScoredPair]) -> Outcomes:
        """Return the similarity of each pair: the cosine of two vectors, or what a cross-encoder predicts."""
        vectors: Array | None = None
        texts: list[Any] = [text for pair in samples for text in (pair.first, pair.second)]
        if hasattr(engine, "predict"):
            texts = [(pair.first, pair.second) for pair in samples]
            similarities = np.asarray(engine.predict(texts), np.float64)
            if similarities.ndim != 1:
                raise InputError(
                    f"the model gives a pair {similarities.shape[1]} scores: similarity is one number"
                )
        else:
            vectors = np.asarray(engine.encode(texts), np.float64)
            similarities = cosine(vectors[::2], vectors[1::2])
        _check_varied(similarities, "the similarities")
        scores = np.array([pair.score for pair in samples])
        ranks = [correlation.ranks(each, np.ones((1, len(each))))[0] for each in (similarities, scores)]
        return Outcomes(
            answers=[f"{value:.4f}" for value in similarities.tolist()],
            goodness=-np.abs(ranks[0] - ranks[1]),
            statistics=np.stack([similarities, scores], axis=1),
            counts={"pairs": len(samples), **token_counts(engine, texts)},
            vectors=vectors,
        )

    def score(self, outcomes: Outcomes, weights: Array) -> dict[str, Array]:
        """Return both correlations, times 100."""
        similarities, scores = outcomes.statistics.T
        return {
            "pearson": 100 * correlation.pearson(similarities, scores, weights),
            "spearman": 100 * correlation.spearman(similarities, scores, weights),
        }

    def case(self, sample: ScoredPair) -> Case:
        """Return both sentences and the score."""
        return Case(sample.id, f"{sample.first} | {sample.second}", f"{sample.score:g}")

    def distances(self, found: Outcomes, reference: Outcomes) -> Array:
        """Return the differences of similarities, and 0 for small ones."""
        differences = np.abs(found.statistics[:, 0] - reference.statistics[:, 0])
        return np.where(differences < _SAME, 0, differences)


def evaluate(engine: Embedder | CrossEncoder, path: str | PathLike[str], *, seed: int | None = 0) -> Result:
    """Return Pearson's and Spearman's correlation of similarities with the scores in a file, times 100.

    Similarity is the cosine of two vectors, or what a cross-encoder predicts of a pair. Raises
    ``InputError``.
    """
    return run(Similarity(), engine, path, seed=seed)


def read(path: str | PathLike[str]) -> list[ScoredPair]:
    """Return all pairs of a file. Raises ``InputError`` with file, line and column for what is none."""
    rows = list(_rows(path))
    check_ids((row_id(path, row), row.where) for row, _ in rows)
    pairs = [
        ScoredPair(
            text_cell(row, "sentence1"), text_cell(row, "sentence2"), _score(row, column), row_id(path, row)
        )
        for row, column in rows
    ]
    if len(pairs) < 2:
        raise InputError(f"{path}: {len(pairs)} pairs, a correlation needs at least 2")
    return pairs


def _rows(path: str | PathLike[str]) -> Iterator[tuple[Row, str]]:
    """Yield rows, each with what messages call its column of scores."""
    if not is_tab_separated(path):
        yield from ((row, "score") for row in read_table(path))
        return
    places, needed, column = _PLACES, max(_PLACES.values()) + 1, "5"
    for number, line in read_lines(path):
        cells, where = line.split("\t"), f"{path}, line {number}"
        if number == 1 and places.keys() <= set(cells):
            places = {name: cells.index(name) for name in places}
            needed, column = max(places.values()) + 1, "score"
        elif line.strip():
            if len(cells) < needed:
                raise InputError(f"{where}: {len(cells)} columns, expected at least {needed}, tab-separated")
            yield Row(where, {name: cells[index] for name, index in places.items()}), column


def _score(row: Row, column: str) -> float:
    text = cell(row, "score")
    try:
        score = float(text)
    except (TypeError, ValueError):
        score = math.nan
    if not math.isfinite(score):
        names = (
            " (a line of names must have score, sentence1 and sentence2)"
            if row.where.endswith(", line 1")
            else ""
        )
        raise InputError(f"{row.where}, column {column}: the score is {text!r}, expected a number{names}")
    return score


def _check_varied(values: Array, what: str) -> None:
    if np.ptp(values) == 0:
        raise InputError(f"{what} are all the same: no correlation is defined")
