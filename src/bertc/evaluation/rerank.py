"""Reranking and retrieval: where the relevant documents of a query stand among all that are ranked for it.

An embedder ranks by the similarity of its vectors, a cross-encoder by what it predicts of each pair; or an
embedder is the first stage, which chooses the best few, and the engine ranks these.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np

from bertc.errors import InputError
from bertc.evaluation.engine import token_counts
from bertc.evaluation.evaluator import Evaluator
from bertc.evaluation.evaluator import evaluate as run
from bertc.evaluation.metrics import ranking
from bertc.evaluation.ranking_data import Query, read_rankings
from bertc.evaluation.result import Case, Outcomes, Result

Array = np.ndarray[Any, Any]

DEPTH = 10
TOP_K = 20
_SHOWN = 100
"""The characters of a document that an answer shows."""


@dataclass(frozen=True)
class Rankings(Evaluator[Query]):
    """MAP, MRR and NDCG of the first ``depth``; two engines disagree where their first document differs."""

    metric = "map"

    depth: int = DEPTH
    run_file: str | PathLike[str] | None = None
    """TREC's file of the documents that are ranked for each query."""
    first_stage: Any = None
    """The engine that chooses the ``top_k`` documents which are ranked, None to rank all."""
    top_k: int = TOP_K

    def read(self, path: str | PathLike[str]) -> Sequence[Query]:
        """Return all queries, with the documents that the first stage chose for them if there is one."""
        queries = read_rankings(path, self.run_file)
        if self.first_stage is None:
            return queries
        ranked = rankings(self.first_stage, queries)
        return [
            query._replace(candidates=tuple(order[: self.top_k]))
            for query, order in zip(queries, ranked, strict=True)
        ]

    def answer(self, engine: Any, samples: Sequence[Query]) -> Outcomes:
        """Return a ranking for each query."""
        ranked = list(rankings(engine, samples))
        rows = []
        for query, order in zip(samples, ranked, strict=True):
            gains = [query.gains.get(name, 0.0) for name in order]
            rows.append(
                (
                    ranking.average_precision(gains, len(query.gains)),
                    ranking.reciprocal_rank(gains, self.depth),
                    ranking.ndcg(gains, list(query.gains.values()), self.depth),
                )
            )
        statistics = np.array(rows)
        return Outcomes(
            answers=[_shown(query, order[0]) for query, order in zip(samples, ranked, strict=True)],
            goodness=statistics[:, 0],
            statistics=statistics,
            counts={
                "documents": len(_documents(samples)),
                "ranked": sum(map(len, ranked)),
                "relevant": sum(len(query.gains) for query in samples),
                **token_counts(engine, inputs_of(engine, samples)),
            },
            facts={} if self.first_stage is None else {"first stage": f"the best {self.top_k}"},
        )

    def score(self, outcomes: Outcomes, weights: Array) -> dict[str, Array]:
        """Return all metrics, times 100."""
        names = ("map", f"mrr@{self.depth}", f"ndcg@{self.depth}")
        means = 100 * (weights @ outcomes.statistics) / weights.sum(axis=1, keepdims=True)
        return dict(zip(names, means.T, strict=True))

    def case(self, sample: Query) -> Case:
        """Return the query, and its most relevant document."""
        best = max(sample.gains, key=lambda name: sample.gains[name])
        return Case(sample.id, sample.text, _shown(sample, best))


def evaluate(engine: Any, path: str | PathLike[str], *, seed: int | None = 0) -> Result:
    """Return MAP, MRR@10 and NDCG@10 over all queries, times 100. Raises ``InputError``.

    A relevant document that is not ranked counts as never found; NDCG takes gains as they are. Both as in
    ``trec_eval``, and so are equal scores: the document whose id is later in the alphabet comes first.
    """
    return run(Rankings(), engine, path, seed=seed)


def rankings(engine: Any, queries: Sequence[Query]) -> Iterator[list[str]]:
    """Yield the ids of the documents of each query, best first."""
    scores = _scores_of_pairs if hasattr(engine, "predict") else _similarities
    for query, found in zip(queries, scores(engine, queries), strict=True):
        names = _candidates(query)
        yield [name for _, name in sorted(zip(found.tolist(), names, strict=True), reverse=True)]


def _scores_of_pairs(engine: Any, queries: Sequence[Query]) -> Iterator[Array]:
    scores = np.asarray(engine.predict(inputs_of(engine, queries)))
    if scores.ndim != 1:
        raise InputError(f"the model gives a pair {scores.shape[1]} scores: a ranking is by one")
    yield from np.split(scores, np.cumsum([len(_candidates(query)) for query in queries])[:-1])


def _similarities(engine: Any, queries: Sequence[Query]) -> Iterator[Array]:
    """Yield the similarities of each query to its documents, by the function that the engine has for it."""
    texts = _documents(queries)
    places = {name: place for place, name in enumerate(texts)}
    encode = getattr(engine, "encode", None)
    of_query, of_document = (getattr(engine, f"encode_{kind}", encode) for kind in ("query", "document"))
    compare = getattr(engine, "maxsim", getattr(engine, "similarity", _cosines))
    if of_query is None or of_document is None:
        raise InputError("the model makes no vectors and scores no pairs: it cannot rank")
    documents = of_document(list(texts.values()))
    for query, vector in zip(queries, of_query([query.text for query in queries]), strict=True):
        if query.candidates is None:
            yield np.asarray(compare(vector[None], documents))[0]
        else:
            chosen = [places[name] for name in query.candidates]
            yield np.asarray(compare(vector[None], documents[chosen]))[0]


def _cosines(a: Array, b: Array) -> Array:
    norms = [np.maximum(np.linalg.norm(each, axis=1, keepdims=True), 1e-12) for each in (a, b)]
    return np.asarray((a / norms[0]) @ (b / norms[1]).T)


def _candidates(query: Query) -> Sequence[str]:
    return tuple(query.corpus) if query.candidates is None else query.candidates


def _documents(queries: Sequence[Query]) -> dict[str, str]:
    """Return the documents that are ranked for some query, by id, in one order."""
    corpus = queries[0].corpus
    if any(query.candidates is None for query in queries):
        return dict(corpus)
    return {name: corpus[name] for query in queries for name in query.candidates or ()}


def inputs_of(engine: Any, queries: Sequence[Query]) -> list[Any]:
    """Return what the engine reads: pairs for a cross-encoder, else queries and documents."""
    if hasattr(engine, "predict"):
        return [(query.text, query.corpus[name]) for query in queries for name in _candidates(query)]
    return [*(query.text for query in queries), *_documents(queries).values()]


def _shown(query: Query, name: str) -> str:
    text = query.corpus[name]
    return f"{name}: {text if len(text) <= _SHOWN else text[: _SHOWN - 1] + '…'}"
