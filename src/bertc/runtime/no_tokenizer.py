"""What a file without a tokenizer has in its place: it takes ids alone."""

from __future__ import annotations

from typing import NoReturn

from bertc.errors import InputError
from bertc.runtime.tokenization import Tokenizer


class NoTokenizer(Tokenizer):
    """A tokenizer that refuses every text, with advice."""

    def __init__(self, max_seq_length: int) -> None:
        self.max_seq_length = max_seq_length

    def __getattr__(self, name: str) -> NoReturn:
        """Refuse what a tokenizer needs and this one has not."""
        if name.startswith("__"):
            raise AttributeError(name)
        raise InputError(
            "the file has no tokenizer, since its source had none: call the model with input_ids and "
            "attention_mask, or compile it again with the folder of its tokenizer (--tokenizer)"
        )


def make_tokenizer(tokenizer_json: str, max_seq_length: int, vocab_size: int | None = None) -> Tokenizer:
    """Return the tokenizer of a file, whose JSON is "" where it has none."""
    if not tokenizer_json:
        return NoTokenizer(max_seq_length)
    return Tokenizer(tokenizer_json, max_seq_length, vocab_size)
