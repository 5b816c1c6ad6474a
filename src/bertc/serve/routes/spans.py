"""Words and places in texts: /tag, /answer and /fill_mask, in the shapes of the pipelines of transformers."""

from __future__ import annotations

from typing import Any

from bertc.errors import InputError
from bertc.serve.call import Call
from bertc.serve.errors import RequestError
from bertc.serve.schema import AnswerRequest, FillMaskRequest, TagRequest
from bertc.serve.state import State
from bertc.tasks.masked_lm import MaskFiller
from bertc.tasks.question_answering import DOC_STRIDE, MAX_SEQ_LEN, QuestionAnswerer, QuestionAnswering
from bertc.tasks.token_classification import Tagger, Tagging


async def tag(state: State, call: Call, body: TagRequest) -> list[Any]:
    """Return the entities of each text, or of each list of words."""
    model = state.registry.find(body.model, (Tagger,), "labels words", lambda _: True)
    call.is_batch = not isinstance(body.inputs, str)
    items: list[Any] = [body.inputs] if isinstance(body.inputs, str) else body.inputs
    if len(set(map(type, items))) > 1:
        raise RequestError("Unprocessable", "`inputs` mixes texts and lists of words")
    if body.stride is not None and body.aggregation_strategy == "none":
        raise RequestError("Unprocessable", "`stride` is for an aggregation_strategy that makes entities")
    task = Tagging(
        model.tokenizer(),
        model.encoder.info.labels,
        body.aggregation_strategy,
        tuple(body.ignore_labels),
        body.stride,
    )
    answers = await state.engine.answer(call, model, task, items, whole=True)
    return answers if call.is_batch else answers[0]


async def answer(state: State, call: Call, body: AnswerRequest) -> Any:
    """Return the best answer, or the best ``top_k``, to each question; one text beside a list is for all."""
    model = state.registry.find(body.model, (QuestionAnswerer,), "answers questions", lambda _: True)
    questions, contexts = (
        [each] if isinstance(each, str) else each for each in (body.question, body.context)
    )
    call.is_batch = not (isinstance(body.question, str) and isinstance(body.context, str))
    count = max(len(questions), len(contexts))
    questions, contexts = (
        each * count if isinstance(given, str) else each
        for each, given in ((questions, body.question), (contexts, body.context))
    )
    if len(questions) != len(contexts):
        raise RequestError(
            "Unprocessable", f"there are {len(questions)} questions and {len(contexts)} contexts: send pairs"
        )
    if not all(map(str.strip, (*questions, *contexts))):
        raise RequestError("Empty", "`question` and `context` cannot be empty")
    size = min(model.encoder.info.max_seq_length, MAX_SEQ_LEN)
    task = QuestionAnswering(
        model.tokenizer(),
        size,
        min(size // 2, DOC_STRIDE),
        top_k=body.top_k,
        max_answer_len=body.max_answer_len,
        handle_impossible_answer=body.handle_impossible_answer,
    )
    pairs = list(zip(questions, contexts, strict=True))
    answers = await state.engine.answer(call, model, task, pairs, whole=True)
    return answers if call.is_batch else answers[0]


async def fill_mask(state: State, call: Call, body: FillMaskRequest) -> list[Any]:
    """Return the best tokens for each mask of each text."""
    model = state.registry.find(body.model, (MaskFiller,), "fills in masked words", lambda _: True)
    filler = model.encoder
    assert isinstance(filler, MaskFiller), "find has looked"
    call.is_batch = not isinstance(body.inputs, str)
    texts = [body.inputs] if isinstance(body.inputs, str) else body.inputs
    try:
        task = filler.filling(model.tokenizer(body.truncation_direction), body.top_k)
    except InputError as error:
        raise RequestError("Backend", str(error)) from error
    answers = await state.engine.answer(call, model, task, texts, truncate=body.truncate)
    return answers if call.is_batch else answers[0]
