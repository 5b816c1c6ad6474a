"""Labels and scores of texts and pairs: /predict, /classify and the rerank routes."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import numpy as np

from bertc.errors import InputError
from bertc.runtime.batching import FloatArray
from bertc.serve.call import Call
from bertc.serve.errors import RequestError
from bertc.serve.models import Model
from bertc.serve.schema import ClassifyRequest, Document, PredictRequest, RerankRequest
from bertc.serve.state import State
from bertc.tasks.activations import activate
from bertc.tasks.classification import Classification, Classifier, Scoring
from bertc.tasks.zero_shot import Candidates

Item = str | tuple[str, str]


async def predict(state: State, call: Call, body: PredictRequest) -> list[Any]:
    """Return all labels of each text or pair with their scores, best first."""
    model = state.registry.find(body.model, (Classifier,), "classifies texts", lambda _: True)
    items, call.is_batch = _predict_items(body.inputs)
    task = Classification(
        model.tokenizer(body.truncation_direction),
        model.encoder.info,
        None,
        "none" if body.raw_scores else None,
    )
    answers = await state.engine.answer(call, model, task, items, truncate=body.truncate)
    return answers if call.is_batch else answers[0]


async def classify(state: State, call: Call, body: ClassifyRequest) -> Any:
    """Return labels as :meth:`bertc.Classifier.classify` does, of the model or of the candidates."""
    model = state.registry.find(body.model, (Classifier,), "classifies texts", lambda _: True)
    call.is_batch = not isinstance(body.inputs, str)
    texts = [body.inputs] if isinstance(body.inputs, str) else body.inputs
    tokenizer = model.tokenizer(body.truncation_direction)
    info = model.encoder.info
    if body.candidate_labels is None:
        task = Classification(tokenizer, info, body.top_k, body.function_to_apply)
        answers = await state.engine.answer(call, model, task, texts, truncate=body.truncate)
    else:
        answers = await _classify_zero_shot(state, call, model, body, texts)
    return answers if call.is_batch else answers[0]


async def _classify_zero_shot(
    state: State, call: Call, model: Model, body: ClassifyRequest, texts: Sequence[str]
) -> list[Any]:
    labels, info = body.candidate_labels, model.encoder.info
    if not all(texts):
        raise RequestError("Empty", "`inputs` cannot be empty")
    # Anything else in braces is a format of Python's, which can make a text of any length.
    if set("{}") & set(body.hypothesis_template.replace("{}", "", 1)):
        raise RequestError("Unprocessable", "`hypothesis_template` has braces other than one {}")
    if not any(label.lower().startswith("entail") for label in info.labels):
        raise RequestError("Backend", f"{model.name} is no model of natural language inference")
    try:
        candidates = Candidates.of(labels, body.hypothesis_template)
    except InputError as error:
        raise RequestError("Unprocessable", str(error)) from error
    task = Scoring(model.tokenizer(body.truncation_direction), keep_second=True)
    rows = await state.engine.answer(call, model, task, candidates.pairs(texts), truncate=body.truncate)
    return candidates.answers(texts, rows, info.labels, multi_label=body.multi_label)


async def rerank(state: State, call: Call, body: RerankRequest) -> Any:
    """Return texts by their scores for a query, best first; the body tells whose form is wanted."""
    if body.documents is None:
        return await _rerank_texts(state, call, body)
    return await rerank_documents(state, call, body)


async def rerank_documents(state: State, call: Call, body: RerankRequest) -> dict[str, Any]:
    """Return the scores of documents as Jina, Cohere and vLLM do."""
    documents = body.documents if body.documents is not None else body.texts
    if documents is None:
        raise RequestError("Unprocessable", "`documents` is missing")
    texts = [each.text if isinstance(each, Document) else each for each in documents]
    model, order, scores = await _ranked(state, call, body, texts)
    results: list[dict[str, Any]] = []
    for index in order[: body.top_n]:
        result: dict[str, Any] = {"index": index, "relevance_score": scores[index]}
        if body.return_documents or body.return_text:
            result["document"] = {"text": texts[index]}
        results.append(result)
    return {
        "id": str(uuid.uuid4()),
        "model": model.name,
        "results": results,
        "usage": {"prompt_tokens": call.tokens, "total_tokens": call.tokens},
        "meta": {
            "api_version": {"version": "2"},
            "billed_units": {"search_units": 1},
            "tokens": {"input_tokens": call.tokens},
        },
    }


async def rerank_infinity(state: State, call: Call, body: RerankRequest) -> dict[str, Any]:
    """Return the same with documents as texts, as infinity does: its requests are those of vLLM to a byte."""
    found = await rerank_documents(state, call, body)
    for result in found["results"]:
        if "document" in result:
            result["document"] = result["document"]["text"]
    return found


async def _rerank_texts(state: State, call: Call, body: RerankRequest) -> list[dict[str, Any]]:
    if body.texts is None:
        raise RequestError("Unprocessable", "`texts`, or `documents`, is missing")
    _, order, scores = await _ranked(state, call, body, body.texts)
    return [
        {"index": index, **({"text": body.texts[index]} if body.return_text else {}), "score": scores[index]}
        for index in order[: body.top_n]
    ]


async def _ranked(
    state: State, call: Call, body: RerankRequest, texts: Sequence[str]
) -> tuple[Model, list[int], FloatArray]:
    """Return the model, the texts' indices by their scores, best first, and the scores [texts]."""
    model = state.registry.find(
        body.model, (Classifier,), "reranks texts", lambda each: len(each.encoder.info.labels) == 1
    )
    call.is_batch = True
    if not body.query or not all(texts):
        raise RequestError("Empty", "`query` and texts cannot be empty")
    task = Scoring(model.tokenizer(body.truncation_direction))
    pairs = [(body.query, text) for text in texts]
    logits = await state.engine.answer(call, model, task, pairs, truncate=body.truncate)
    function = "none" if body.raw_scores else model.encoder.info.facts.get("activation_fn", "sigmoid")
    scores = activate(logits, function)[:, 0]
    return model, np.argsort(-scores, kind="stable").tolist(), scores


def _predict_items(inputs: Any) -> tuple[list[Item], bool]:
    """Return texts and pairs, and whether they are a batch: a list of strings is one text or one pair."""
    if isinstance(inputs, str):
        return [inputs], False
    if inputs and all(isinstance(each, str) for each in inputs):
        return [_text_or_pair(inputs)], False
    if not all(isinstance(each, list) for each in inputs):
        raise RequestError("Unprocessable", "`inputs` mixes texts and lists: send a list of lists")
    return [_text_or_pair(each) for each in inputs], True


def _text_or_pair(texts: list[str]) -> Item:
    if len(texts) == 1:
        return texts[0]
    if len(texts) == 2:
        return texts[0], texts[1]
    raise RequestError(
        "Unprocessable",
        "`inputs` must be a string, a pair of strings, or a batch: [[string], [string, string], ...]",
    )
