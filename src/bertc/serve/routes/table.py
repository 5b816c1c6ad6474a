"""THE table of routes: what each takes and gives, and the function that answers it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bertc.serve import schema
from bertc.serve.routes import about, scores, spans, tokens, vectors

VECTORS = {"type": "array", "items": {"type": "array", "items": {"type": "number"}}}
OBJECTS = {"type": "array", "items": {"type": "object"}}
OBJECT = {"type": "object"}
ANY: dict[str, Any] = {}


@dataclass(frozen=True)
class Route:
    """One row of the table. A route with a body is posted to, one without is read."""

    path: str
    summary: str
    answer: Callable[..., Awaitable[Any]]
    body: type | None = None
    reply: Mapping[str, Any] | None = None
    """The JSON schema of a reply; None for text."""
    openai: bool = False
    """Whether errors take the form of OpenAI."""
    public: bool = False
    """Whether the route needs no key."""


def _post(path: str, summary: str, answer: Any, body: type, reply: Any, *, openai: bool = False) -> Route:
    return Route(path, summary, answer, body, reply, openai)


ROUTES: tuple[Route, ...] = (
    _post("/embed", "Vectors of texts", vectors.embed, schema.EmbedRequest, VECTORS),
    _post("/", "Vectors of texts", vectors.embed, schema.EmbedRequest, VECTORS),
    _post(
        "/embed_all",
        "Vectors of tokens",
        vectors.embed_all,
        schema.TokenEmbedRequest,
        {"type": "array", "items": VECTORS},
    ),
    _post(
        "/embed_sparse",
        "Sparse vectors of texts",
        vectors.embed_sparse,
        schema.TokenEmbedRequest,
        {"type": "array", "items": OBJECTS},
    ),
    _post(
        "/predict", "All labels of texts and pairs", scores.predict, schema.PredictRequest, {"type": "array"}
    ),
    _post("/rerank", "Texts by their scores for a query", scores.rerank, schema.RerankRequest, ANY),
    _post(
        "/similarity",
        "How alike a sentence is to others",
        vectors.similarity_to_one,
        schema.SimilarityRequest,
        {"type": "array", "items": {"type": "number"}},
    ),
    _post(
        "/similarity_matrix",
        "How alike texts are",
        vectors.similarity_matrix,
        schema.SimilarityMatrixRequest,
        VECTORS,
    ),
    _post(
        "/tokenize",
        "Tokens of texts",
        tokens.tokenize,
        schema.TokenizeRequest,
        {"type": "array", "items": OBJECTS},
    ),
    _post(
        "/decode",
        "Texts of tokens",
        tokens.decode,
        schema.DecodeRequest,
        {"type": "array", "items": {"type": "string"}},
    ),
    _post("/classify", "Labels of texts", scores.classify, schema.ClassifyRequest, ANY),
    _post("/tag", "Entities in texts", spans.tag, schema.TagRequest, {"type": "array"}),
    _post("/answer", "Answers to questions", spans.answer, schema.AnswerRequest, ANY),
    _post("/fill_mask", "Words for masks", spans.fill_mask, schema.FillMaskRequest, {"type": "array"}),
    *(
        _post(
            path,
            "Vectors, as OpenAI",
            vectors.openai_embeddings,
            schema.OpenAIEmbeddingRequest,
            OBJECT,
            openai=True,
        )
        for path in ("/v1/embeddings", "/embeddings")
    ),
    *(
        _post(
            path,
            "Rerank, as Jina and Cohere",
            scores.rerank_documents,
            schema.RerankRequest,
            OBJECT,
            openai=True,
        )
        for path in ("/v1/rerank", "/v2/rerank")
    ),
    _post(
        "/infinity/rerank",
        "Rerank, as infinity",
        scores.rerank_infinity,
        schema.RerankRequest,
        OBJECT,
        openai=True,
    ),
    Route("/v1/models", "The models", about.models, reply=OBJECT, openai=True),
    Route("/info", "Models and limits", about.info, reply=OBJECT),
    Route("/certificates", "How far each model is from its fp32 self", about.certificates, reply=OBJECT),
    Route("/health", "Whether the models work", about.health, reply=OBJECT, public=True),
    Route("/ready", "Whether requests are welcome", about.ready, reply=OBJECT, public=True),
    Route("/metrics", "Counters for Prometheus", about.metrics),
)
