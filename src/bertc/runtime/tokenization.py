"""Text in, packed token ids out. Nothing is padded; what is too long is cut, and counted.

The settings for padding and truncation that a checkpoint's ``tokenizer.json`` may carry are not
used: the limit is the model's ``max_seq_length``, special tokens included.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeGuard

from tokenizers import Encoding
from tokenizers import Tokenizer as NativeTokenizer

from bertc.errors import ArtifactError, InputError
from bertc.runtime.batching import PackedBatch, pack

Text = str
Pair = tuple[str, str]
Words = list[str]
Item = Text | Pair | Words
"""One input: a text, a pair of texts, or a text that is already split into words."""

_EXPECTED = "a string, a tuple of two strings (a pair), or a list of strings (words)"
_SURROGATES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class TokenizedBatch:
    """A packed batch, and what it came from."""

    packed: PackedBatch
    encodings: Sequence[Encoding]
    """One per sequence; with character offsets and word ids only where ``offsets`` was asked for."""
    truncated: int
    """How many inputs were longer than the model's limit."""


@dataclass(frozen=True)
class TokenCounts:
    """Tokens that a model sees of some inputs, special tokens included."""

    tokens: int
    truncated: int


class Tokenizer:
    """The tokenizer of one artifact. Safe to share between threads."""

    def __init__(self, tokenizer_json: str, max_seq_length: int) -> None:
        with _blame_the_file():
            self._native = NativeTokenizer.from_str(tokenizer_json)
            self._native.no_padding()
            self._native.enable_truncation(max_seq_length)
        self.max_seq_length = max_seq_length

    def __call__(self, items: Sequence[Item], *, offsets: bool = False, first: int = 0) -> TokenizedBatch:
        """Tokenize a batch of texts and pairs, or a batch of word lists.

        ``offsets`` keeps track of characters and words, which costs time. ``first`` is the index
        of the first item in what the caller passed, for error messages. Raises ``InputError`` that
        names the index and the type of an item that is no text.
        """
        encodings = self._encode(items, offsets, first)
        truncated = sum(
            1 for each in encodings if len(each) >= self.max_seq_length and len(each.overflowing) > 0
        )
        return TokenizedBatch(_pack_encodings(encodings), encodings, truncated)

    def chunks(self, items: Sequence[Words], *, first: int = 0) -> tuple[TokenizedBatch, list[int]]:
        """Tokenize word lists without losing a token: what is too long becomes several sequences.

        Returns the batch, and for each of its sequences the index of the item it belongs to.
        """
        encodings: list[Encoding] = []
        owners: list[int] = []
        for index, encoding in enumerate(self._encode(items, True, first)):
            pieces = [encoding, *encoding.overflowing]
            encodings.extend(pieces)
            owners.extend([index] * len(pieces))
        return TokenizedBatch(_pack_encodings(encodings), encodings, 0), owners

    def _encode(self, items: Sequence[Item], offsets: bool, first: int) -> list[Encoding]:
        split = bool(items) and isinstance(items[0], list)
        clean = [_clean(item, split, first + index) for index, item in enumerate(items)]
        encode = self._native.encode_batch if offsets else self._native.encode_batch_fast
        with _blame_the_file():
            return encode(clean, is_pretokenized=split)


def as_items(inputs: Any) -> tuple[list[Any], bool]:
    """What the caller passed as a list of items, and whether it was a single item.

    A string is one text, a tuple is one pair, anything else that can be iterated is a batch.
    """
    if isinstance(inputs, (str, tuple)):
        return [inputs], True
    if not isinstance(inputs, Iterable) or isinstance(inputs, (bytes, dict)):
        raise InputError(
            f"inputs are {type(inputs).__name__}: pass a string, a tuple of two strings, or a list of them"
        )
    return list(inputs), False


def count_tokens(
    tokenizer: Tokenizer, batches: Iterable[Sequence[Any]], *, truncate: bool = True
) -> TokenCounts:
    """Totals over ``batches``, truncated or (word lists only) cut into chunks."""
    tokens = truncated = 0
    for batch in batches:
        tokenized = tokenizer(batch) if truncate else tokenizer.chunks(batch)[0]
        tokens += int(tokenized.packed.cu_seqlens[-1])
        truncated += tokenized.truncated
    return TokenCounts(tokens, truncated)


def _pack_encodings(encodings: Sequence[Encoding]) -> PackedBatch:
    with _blame_the_file():  # an id may not fit 32 bits
        return pack([each.ids for each in encodings], [each.type_ids for each in encodings])


@contextmanager
def _blame_the_file() -> Iterator[None]:
    """Turn what the tokenizers library raises into ``ArtifactError``.

    What it is given has been checked before, so the tokenizer in the file must be wrong. It raises
    bare ``Exception``, and its panics are no ``Exception`` at all.
    """
    try:
        yield
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise ArtifactError(
            f"the tokenizer in the file does not work ({error}): compile the model again"
        ) from None


def _clean(item: Any, split: bool, index: int) -> Any:
    """The item as the tokenizers library takes it: checked, and without lone surrogates."""
    if isinstance(item, list) is not split:
        raise InputError(
            f"inputs[{index}] is {'text' if split else 'a list'}, inputs before it are "
            f"{'lists of words' if split else 'texts'}: a batch is one or the other"
        )
    if isinstance(item, str):
        return _replace_surrogates(item)
    if isinstance(item, list) and _all_strings(item):
        return [_replace_surrogates(word) for word in item]
    if isinstance(item, tuple) and len(item) == 2 and _all_strings(item):
        return tuple(_replace_surrogates(text) for text in item)
    raise InputError(f"inputs[{index}] is {_describe(item)}: expected {_EXPECTED}")


def _describe(item: Any) -> str:
    if not isinstance(item, (list, tuple)):
        return type(item).__name__
    if not _all_strings(item):
        odd = next(type(part).__name__ for part in item if not isinstance(part, str))
        return f"a {type(item).__name__} that holds {odd}"
    return f"a tuple of {len(item)} strings"


def _all_strings(parts: Sequence[Any]) -> TypeGuard[Sequence[str]]:
    return all(isinstance(part, str) for part in parts)


def _replace_surrogates(text: str) -> str:
    """``text`` with each lone surrogate replaced by U+FFFD: UTF-8 has no place for them.

    One for one, so that character offsets stay right.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return _SURROGATES.sub("\ufffd", text)
    return text
