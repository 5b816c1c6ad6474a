"""Texts to vectors, dense and sparse, of texts and of tokens, and how alike texts are."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, NamedTuple

from bertc.runtime.batching import FloatArray
from bertc.serve.call import Call
from bertc.serve.errors import RequestError
from bertc.serve.models import Model
from bertc.serve.schema import (
    EmbedRequest,
    OpenAIEmbeddingRequest,
    SimilarityMatrixRequest,
    SimilarityParameters,
    SimilarityRequest,
    TokenEmbedRequest,
    texts_or_ids,
)
from bertc.serve.state import State
from bertc.serve.token_ids import EmbeddingOfIds
from bertc.tasks.embedding import Embedder, Embedding, TokenEmbedding
from bertc.tasks.similarity import similarity
from bertc.tasks.sparse import SparseEmbedder, SparseEmbedding, SparseRow

TOKEN_OUTPUTS = ("token_embeddings", "last_hidden_state")
MAX_KEPT_TASKS = 256
"""The most tasks that are kept for a model: requests choose their options, so that there may be thousands."""


class VectorOptions(NamedTuple):
    """How a request wants its texts turned into vectors."""

    truncate: bool | None = None
    direction: str | None = None
    prompt_name: str | None = None
    normalize: bool = True
    dimensions: int | None = None


async def embed(state: State, call: Call, body: EmbedRequest) -> FloatArray:
    """Return a vector for each text: float32 [texts, dimensions]."""
    model = _embedder(state, body.model)
    options = VectorOptions(
        body.truncate, body.truncation_direction, body.prompt_name, body.normalize, body.dimensions
    )
    items, call.is_batch, are_ids = texts_or_ids(body.inputs, "inputs")
    return await _vectors(state, call, model, items, options, are_ids=are_ids)


async def openai_embeddings(state: State, call: Call, body: OpenAIEmbeddingRequest) -> dict[str, Any]:
    """Return vectors as OpenAI does: lists of floats, or base64 of little-endian float32."""
    model = _embedder(state, body.model)
    items, call.is_batch, are_ids = texts_or_ids(body.input, "input")
    options = VectorOptions(dimensions=body.dimensions)
    vectors = await _vectors(state, call, model, items, options, are_ids=are_ids)
    shown: Sequence[Any] = vectors  # type: ignore[assignment]
    if body.encoding_format == "base64":
        shown = [base64.b64encode(row.astype("<f4", copy=False).tobytes()).decode() for row in vectors]
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "embedding": vector, "index": index} for index, vector in enumerate(shown)
        ],
        "model": model.name,
        "usage": {"prompt_tokens": call.tokens, "total_tokens": call.tokens},
    }


async def embed_all(state: State, call: Call, body: TokenEmbedRequest) -> list[FloatArray]:
    """Return a vector for each token of each text: float32 [tokens, hidden] each."""
    model = state.registry.find(
        body.model, (Embedder,), "gives tokens vectors", lambda each: _token_output(each) is not None
    )
    output = _token_output(model)
    assert output is not None, "find has looked"
    items, call.is_batch, are_ids = texts_or_ids(body.inputs, "inputs")
    if are_ids:
        raise RequestError("Unprocessable", "/embed_all takes texts, not ids")
    texts, _ = model.with_prompt(items, body.prompt_name)
    task = TokenEmbedding(model.tokenizer(body.truncation_direction), output)
    return await state.engine.answer(call, model, task, texts, truncate=body.truncate, nonzero=True)


async def embed_sparse(state: State, call: Call, body: TokenEmbedRequest) -> list[list[dict[str, Any]]]:
    """Return the entries of each text's sparse vector that are not zero."""
    model = state.registry.find(
        body.model, (SparseEmbedder,), "turns texts into sparse vectors", lambda _: True
    )
    items, call.is_batch, are_ids = texts_or_ids(body.inputs, "inputs")
    if are_ids:
        raise RequestError("Unprocessable", "/embed_sparse takes texts, not ids")
    texts, _ = model.with_prompt(items, body.prompt_name)
    task = SparseEmbedding(
        model.tokenizer(body.truncation_direction), model.encoder.info.embedding.max_active_dims
    )
    rows = await state.engine.answer(call, model, task, texts, truncate=body.truncate)
    return [_entries(row) for row in rows]


async def similarity_to_one(state: State, call: Call, body: SimilarityRequest) -> FloatArray:
    """Return how alike each sentence is to the first one: float32 [sentences]."""
    model = _embedder(state, body.model)
    options = body.parameters or SimilarityParameters()
    call.is_batch = True
    texts = [body.inputs.source_sentence, *body.inputs.sentences]
    if len(texts) < 2:
        raise RequestError("Empty", "`inputs.sentences` cannot be empty")
    wanted = VectorOptions(options.truncate, options.truncation_direction, options.prompt_name)
    vectors = await _vectors(state, call, model, texts, wanted)
    scores: FloatArray = similarity(_function(model), vectors[:1], vectors[1:])[0]
    return scores


async def similarity_matrix(state: State, call: Call, body: SimilarityMatrixRequest) -> FloatArray:
    """Return how alike all texts are: float32 [inputs, others], or [inputs, inputs] without others."""
    model = _embedder(state, body.model)
    call.is_batch = True
    options = VectorOptions(body.truncate, body.truncation_direction, body.prompt_name)
    if not body.inputs or body.others == []:
        raise RequestError("Empty", "`inputs` and `others` cannot be empty")
    vectors = await _vectors(state, call, model, [*body.inputs, *(body.others or ())], options)
    count = len(body.inputs)
    return similarity(_function(model), vectors[:count], vectors[count:] if body.others else vectors)


def _embedder(state: State, name: str | None) -> Model:
    return state.registry.find(name, (Embedder,), "turns texts into vectors", lambda _: True)


async def _vectors(
    state: State,
    call: Call,
    model: Model,
    items: Sequence[Any],
    options: VectorOptions,
    *,
    are_ids: bool = False,
) -> FloatArray:
    if are_ids:
        task = _task(model, options._replace(prompt_name=None))
        rows = model.encoder.info.facts.get("vocab_size")
        of_ids = EmbeddingOfIds(
            task.tokenizer,
            task.normalize,
            task.truncate_dim,
            vocab_size=rows if isinstance(rows, int) else None,
            keeps_end=task.tokenizer.direction == "Left",
            limit=model.limit,
        )
        return await state.engine.answer(call, model, of_ids, items, truncate=options.truncate, nonzero=True)
    _check_texts(items)
    task = _task(model, options)
    texts, _ = model.with_prompt(items, options.prompt_name)
    return await state.engine.answer(
        call, model, task, texts, truncate=options.truncate, nonzero=True, joins=True
    )


def _task(model: Model, options: VectorOptions) -> Embedding:
    """Return the task, which is kept for the next request with these options. Raises ``RequestError``."""
    task = model.tasks.get(options)
    if task is None:
        task = _make_task(model, options)
        if len(model.tasks) >= MAX_KEPT_TASKS:
            model.tasks.clear()
        model.tasks[options] = task
    return task


def _make_task(model: Model, options: VectorOptions) -> Embedding:
    embedder = model.encoder
    assert isinstance(embedder, Embedder), "find has looked"
    facts = embedder.info.embedding
    if options.dimensions is not None and options.dimensions > embedder.dimensions:
        raise RequestError(
            "Validation", f"`dimensions` is above those of {model.name}, which has {embedder.dimensions}"
        )
    tokenizer = model.tokenizer(options.direction)
    _, prompt = model.with_prompt((), options.prompt_name)
    skipped = 0
    if prompt and not facts.include_prompt:
        (encoding,) = tokenizer([prompt]).encodings
        skipped = len(encoding) - (len(encoding) > 0 and encoding.special_tokens_mask[-1])
    return Embedding(tokenizer, options.normalize, options.dimensions or facts.truncate_dim, skipped)


def _check_texts(items: Sequence[str]) -> None:
    if not all(items):
        raise RequestError("Empty", "`inputs` cannot be empty")


def _token_output(model: Model) -> str | None:
    return next((name for name in TOKEN_OUTPUTS if model.encoder.info.output(name) is not None), None)


def _function(model: Model) -> str:
    return model.encoder.info.embedding.similarity_fn_name or "cosine"


def _entries(row: SparseRow) -> list[dict[str, Any]]:
    return [
        {"index": int(index), "value": value} for index, value in zip(row.columns, row.weights, strict=True)
    ]
