"""Texts to tokens and back: /tokenize and /decode."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bertc.encoder import Encoder
from bertc.runtime.no_tokenizer import NoTokenizer
from bertc.serve.call import Call
from bertc.serve.errors import RequestError
from bertc.serve.models import Model
from bertc.serve.schema import DecodeRequest, TokenizeRequest
from bertc.serve.state import State

if TYPE_CHECKING:
    from tokenizers import Encoding


async def tokenize(state: State, call: Call, body: TokenizeRequest) -> list[list[dict[str, Any]]]:
    """Return the tokens of each text, none cut off, with the characters that they stand for."""
    model = _tokenizing(state, body.model)
    call.model, call.is_batch = model.name, not isinstance(body.inputs, str)
    texts = [body.inputs] if isinstance(body.inputs, str) else body.inputs
    _check_count(state, len(texts))
    if not all(texts):
        raise RequestError("Empty", "`inputs` cannot be empty")
    texts, _ = model.with_prompt(texts, body.prompt_name)
    special = body.add_special_tokens
    tokenizer = model.tokenizer()
    encodings = await state.engine.tokenizing(
        call, sum(map(len, texts)), lambda: tokenizer.encode_uncut(texts, special_tokens=special)
    )
    call.items, call.tokens = len(texts), sum(map(len, encodings))
    return [_tokens(text, encoding) for text, encoding in zip(texts, encodings, strict=True)]


async def decode(state: State, call: Call, body: DecodeRequest) -> list[str]:
    """Return the text of each list of ids."""
    model = _tokenizing(state, body.model)
    kinds = set(map(type, body.ids))
    if len(kinds) > 1:
        raise RequestError("Unprocessable", "`ids` mixes ids and lists of ids")
    call.model, call.is_batch = model.name, kinds != {int}
    ids: list[Any] = body.ids if call.is_batch else [body.ids]
    _check_count(state, len(ids))
    if not all(0 <= number < 2**32 for each in ids for number in each):
        raise RequestError("Tokenizer", "`ids` has a number that is no token")
    tokenizer, skip = model.tokenizer(), body.skip_special_tokens
    call.items, call.tokens = len(ids), sum(map(len, ids))
    return await state.engine.tokenizing(
        call, call.tokens, lambda: [tokenizer.decode(each, skip_special_tokens=skip) for each in ids]
    )


def _tokenizing(state: State, name: str | None) -> Model:
    return state.registry.find(
        name,
        (Encoder,),
        "has a tokenizer",
        lambda each: not isinstance(each.encoder.tokenizer, NoTokenizer),
    )


def _check_count(state: State, count: int) -> None:
    most = state.settings.max_client_batch_size
    if count == 0:
        raise RequestError("Empty", "the list cannot be empty")
    if count > most:
        raise RequestError("Validation", f"batch size {count} > maximum allowed batch size {most}")


def _tokens(text: str, encoding: Encoding) -> list[dict[str, Any]]:
    rows = zip(encoding.ids, encoding.tokens, encoding.special_tokens_mask, encoding.offsets, strict=True)
    return [
        {"id": number, "text": token, "special": True, "start": None, "stop": None}
        if special
        else {"id": number, "text": text[start:stop], "special": False, "start": start, "stop": stop}
        for number, token, special, (start, stop) in rows
    ]
