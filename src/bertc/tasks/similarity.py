"""Scores between vectors, with the names and meanings of sentence-transformers. Larger is more alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bertc.errors import InputError
from bertc.runtime.batching import FloatArray
from bertc.runtime.unit_rows import normalized

Array = np.ndarray[Any, Any]

EMPTY_DOCUMENT = -1e9
"""The score of a document without a vector, as in sentence-transformers: below that of any other."""


def similarity(name: str, a: ArrayLike, b: ArrayLike) -> FloatArray:
    """Return the scores of all rows of ``a`` with all rows of ``b``, float32 [rows of a, rows of b].

    ``name`` is ``cosine``, ``dot``, ``euclidean`` or ``manhattan``; the last two are negative distances.
    """
    first, second = _rows(a, "the first embeddings"), _rows(b, "the second embeddings")
    _check_width(first, second)
    if name in ("cosine", "dot"):
        if name == "cosine":
            first, second = normalized(first), normalized(second)
        return np.asarray(first @ second.T, np.float32)
    scores = np.empty((len(first), len(second)), np.float32)
    for index, row in enumerate(first):
        scores[index] = -_distance(name, second - row)
    return scores


def similarity_pairwise(name: str, a: ArrayLike, b: ArrayLike) -> FloatArray:
    """Return the score of each row of ``a`` with the same row of ``b``, float32 [rows]."""
    first, second = _rows(a, "the first embeddings"), _rows(b, "the second embeddings")
    _check_width(first, second)
    if len(first) != len(second):
        raise InputError(f"there are {len(first)} embeddings and {len(second)}: pairs need as many of both")
    if name in ("cosine", "dot"):
        if name == "cosine":
            first, second = normalized(first), normalized(second)
        return np.asarray((first * second).sum(axis=1), np.float32)
    return np.asarray(-_distance(name, first - second), np.float32)


def maxsim(queries: Any, documents: Any, *, mean: bool = False) -> FloatArray:
    """Return ColBERT's score (arXiv:2004.12832, eq. 3) of all queries with all documents, float32.

    Each is a list of [tokens, dimensions] arrays, or one such array. For each token of the query the largest
    dot product with a token of the document counts; they are summed, or with ``mean`` divided by the query's
    tokens. A document without a token has ``EMPTY_DOCUMENT``.
    """
    first, second = _token_rows(queries, "queries"), _token_rows(documents, "documents")
    scores = np.full((len(first), len(second)), EMPTY_DOCUMENT, np.float32)
    full = [index for index, document in enumerate(second) if len(document)]
    if first and full:
        tokens = np.concatenate([second[index] for index in full])
        starts = np.cumsum([0, *(len(second[index]) for index in full[:-1])])
        for row, query in enumerate(first):
            _check_width(query, tokens)
            scores[row, full] = np.maximum.reduceat(query @ tokens.T, starts, axis=1).sum(axis=0)
    counts = np.array([max(len(query), 1) for query in first], np.float32)
    return np.asarray(scores / counts[:, None], np.float32) if mean else scores


def _distance(name: str, differences: FloatArray) -> Array:
    if name == "manhattan":
        return np.asarray(np.abs(differences).sum(axis=1))
    return np.asarray(np.sqrt(np.square(differences).sum(axis=1)))


def _rows(values: ArrayLike, what: str) -> FloatArray:
    """Floats [rows, components]; a single vector is one row."""
    array = np.asarray(values)
    if array.ndim not in (1, 2) or array.dtype.kind not in "fiu":
        raise InputError(
            f"{what} have shape {array.shape} and dtype {array.dtype}: expected [rows, components]"
        )
    return np.atleast_2d(array).astype(np.float32, copy=False)


def _token_rows(values: Any, what: str) -> Sequence[FloatArray]:
    single = isinstance(values, np.ndarray) and values.ndim == 2
    return [_rows(value, f"{what}[{index}]") for index, value in enumerate([values] if single else values)]


def _check_width(a: FloatArray, b: FloatArray) -> None:
    if a.shape[1] != b.shape[1]:
        raise InputError(f"embeddings of {a.shape[1]} and of {b.shape[1]} components cannot be compared")
