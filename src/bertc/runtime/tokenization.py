"""Text in, packed token ids out. Nothing is padded; what is too long is cut, and counted.

The settings for padding that a ``tokenizer.json`` may carry are not used, and of those for truncation
the side alone: the limit is the model's ``max_seq_length``, special tokens included.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn

from tokenizers import Encoding, processors
from tokenizers import Tokenizer as NativeTokenizer

from bertc.errors import ArtifactError, InputError
from bertc.runtime.batching import PackedBatch, pack
from bertc.runtime.items import Item, Pair, Text, Words, check_item, count_characters, without_surrogates
from bertc.runtime.prefixes import (
    CHARACTERS_PER_TOKEN,
    Prefix,
    boundary,
    first_tokens,
    last_tokens,
    lengths_that_keep_the_second,
    lengths_to_keep,
    overlapping,
    shorten,
)

FEW_CHARACTERS = 1000
"""Up to so many characters, to wake threads and to wait for them takes longer than they save."""
_WITHOUT_SPECIAL_TOKENS = processors.TemplateProcessing(single="$A", pair="$A:0 $B:1", special_tokens=[])
"""For a tokenizer that has no post-processor."""


@dataclass(frozen=True)
class TokenizedBatch:
    """A packed batch, and what it came from."""

    packed: PackedBatch
    """The sequences that have a token."""
    encodings: Sequence[Encoding]
    """One per sequence; with character offsets and word ids only where ``offsets`` was asked for."""
    truncated: int
    """How many inputs were longer than the model's limit."""
    empty: Sequence[int] = ()
    """Indices of the sequences without a token, which ``packed`` leaves out."""


@dataclass(frozen=True)
class TokenCounts:
    """Tokens that a model sees of some inputs, special tokens included."""

    tokens: int
    truncated: int


class Tokenizer:
    """The tokenizer of one artifact. Safe to share between threads."""

    def __init__(self, tokenizer_json: str, max_seq_length: int, vocab_size: int | None = None) -> None:
        """``vocab_size``: the rows of the embedding table; ids beyond it are refused where it is given.

        Raises ``ArtifactError`` if the tokenizer makes no sense, or if its special tokens leave no room.
        """
        with _BLAME_THE_FILE:
            self._native = NativeTokenizer.from_str(tokenizer_json)
            self._native.no_padding()
            side = (self._native.truncation or {}).get("direction", "right")
            self._native.enable_truncation(max_seq_length, direction=side)
            processor = self._native.post_processor = self._native.post_processor or _WITHOUT_SPECIAL_TOKENS
            special = {texts: processor.num_special_tokens_to_add(texts == 2) for texts in (1, 2)}
        self._json = tokenizer_json
        self.max_seq_length = max_seq_length
        self._keeps_end = side == "left"
        self._vocab_size = vocab_size
        self._with_limit: dict[tuple[int, str | None], Tokenizer] = {}
        self._processor = processor
        self._room = {texts: max_seq_length - count for texts, count in special.items()}
        """Tokens that the limit leaves for a text, or for both of a pair."""
        if self._room[1] < 1:
            raise ArtifactError(
                f"max_seq_length is {max_seq_length}, which leaves no room beside the {special[1]} special "
                "tokens of each text: compile with a larger one"
            )

    def __call__(
        self, items: Sequence[Item], *, offsets: bool = False, first: int = 0, keep_second: bool = False
    ) -> TokenizedBatch:
        """Tokenize a batch of texts and pairs, or a batch of word lists.

        ``offsets`` keeps track of characters and words, which costs time. ``first`` is the index
        of the first item in what the caller passed, for error messages. ``keep_second``, which is for pairs,
        cuts the first text alone. Raises ``InputError`` that names the index of an item that is no text, or
        that has a token beyond the vocabulary.
        """
        parts = self._parts(items, first)
        size = CHARACTERS_PER_TOKEN * self.max_seq_length
        lengths = [count_characters(part) for each in parts for part in each]
        if keep_second:
            encodings, truncated = self._encode_beginnings(parts, size, offsets, lengths_that_keep_the_second)
        elif max(lengths, default=0) <= size:
            encodings = self._encode_whole(parts, offsets, alone=sum(lengths) <= FEW_CHARACTERS)
            truncated = sum(
                len(each) >= self.max_seq_length and len(each.overflowing) > 0 for each in encodings
            )
        else:
            encodings, truncated = self._encode_beginnings(parts, size, offsets)
        return self._batch(encodings, truncated, range(first, first + len(encodings)))

    def chunks(
        self, items: Sequence[Text | Words], *, first: int = 0, stride: int = 0
    ) -> tuple[TokenizedBatch, list[int]]:
        """Tokenize texts or word lists without losing a token: what is too long becomes several sequences.

        A sequence begins with the last ``stride`` tokens of the one before, special tokens not counted.
        Returns the batch, and for each of its sequences the index of the item it belongs to: none for an
        item without a token. Raises ``InputError`` for a pair, and for a ``stride`` that leaves no room.
        """
        if not 0 <= stride < self.room:
            raise InputError(f"stride is {stride}: expected 0 to {self.room - 1}, below the model's limit")
        parts = [part for (part,) in self._parts(items, first, texts=1)]
        encodings: list[Encoding] = []
        owners: list[int] = []
        for index, (bare, _) in enumerate(self._encode(parts, sys.maxsize, True) if parts else ()):
            bare.truncate(self.room, stride)
            with _BLAME_THE_FILE:
                whole = self._processor.process(bare)
            pieces = [piece for piece in (whole, *whole.overflowing) if len(piece)]
            encodings.extend(pieces)
            owners.extend([index] * len(pieces))
        return self._batch(encodings, 0, [first + owner for owner in owners]), owners

    def windows(
        self, pairs: Sequence[Pair], *, limit: int, overlap: int, first_limit: int, first: int = 0
    ) -> tuple[TokenizedBatch, list[int]]:
        """Tokenize pairs without losing a token of the second texts, with offsets.

        A pair of more than ``limit`` tokens becomes several sequences: each has the first text, cut after
        ``first_limit`` tokens, and a part of the second one, which begins with the last ``overlap`` tokens of
        the part before (fewer, where the first text leaves no room for more than these). Returns the batch,
        and for each of its sequences the index of the pair. Raises ``InputError``.
        """
        parts = list(dict.fromkeys(text for part in self._parts(pairs, first) for text in part))
        tokens = dict(zip(parts, self._encode(parts, sys.maxsize, True), strict=True))
        encodings: list[Encoding] = []
        owners: list[int] = []
        for index, (begin, text) in enumerate(pairs):
            fixed = first_tokens(tokens[begin].encoding, min(first_limit, len(tokens[begin].encoding)))
            room = limit - (self.max_seq_length - self._room[2]) - len(fixed)
            if room < 1:
                raise InputError(
                    f"inputs[{first + index}]: the {len(fixed)} tokens of the first text leave no room for "
                    f"the second one, as the limit is {limit}: shorten it"
                )
            pieces = overlapping(tokens[text].encoding, room, overlap if overlap < room else room // 2)
            with _BLAME_THE_FILE:
                encodings.extend(self._processor.process(fixed, piece) for piece in pieces)
            owners.extend([index] * len(pieces))
        return self._batch(encodings, 0, [first + owner for owner in owners]), owners

    def _encode_whole(
        self, parts: Sequence[tuple[Any, ...]], offsets: bool, *, alone: bool
    ) -> list[Encoding]:
        """Items as the tokenizers library encodes and cuts them: for what is not too long for it.

        It wakes threads for each list of several; ``alone`` is one item at a time.
        """
        clean = [tuple(map(without_surrogates, each)) for each in parts]
        inputs = [each[0] if len(each) == 1 else each for each in clean]
        encode = self._native.encode_batch if offsets else self._native.encode_batch_fast
        split = bool(inputs) and isinstance(inputs[0], list)
        with _BLAME_THE_FILE:
            if alone:
                return [encode([each], is_pretokenized=split)[0] for each in inputs]
            return encode(inputs, is_pretokenized=split)

    def _encode_beginnings(
        self,
        parts: Sequence[tuple[Any, ...]],
        size: int,
        offsets: bool,
        keep: Callable[[Sequence[Prefix], int], tuple[int, ...] | None] = lengths_to_keep,
    ) -> tuple[list[Encoding], int]:
        """The same, of which no more is looked at than the limit needs; and how many items were cut."""
        settled: list[tuple[list[Prefix], tuple[int, ...]]] = [([], ())] * len(parts)
        waiting = list(range(len(parts)))
        while waiting:
            found = iter(self._encode([part for index in waiting for part in parts[index]], size, offsets))
            again = []
            for index in waiting:
                prefixes = [next(found) for _ in parts[index]]
                lengths = keep(prefixes, self._room[len(prefixes)])
                if lengths is None:
                    again.append(index)
                else:
                    settled[index] = (prefixes, lengths)
            waiting, size = again, 2 * size
        truncated = sum(
            sum(len(encoding) for encoding, _ in prefixes) > sum(lengths) for prefixes, lengths in settled
        )
        return self._finish(settled), truncated

    def _parts(self, items: Sequence[Item], first: int, texts: int = 2) -> list[tuple[Any, ...]]:
        """Each item as one text, two texts (if so many may be) or one list of words."""
        split = bool(items) and isinstance(items[0], list)
        parts = [check_item(item, split, first + index) for index, item in enumerate(items)]
        if texts == 1 or self._room[2] < 0:
            for index, part in enumerate(parts, first):
                if len(part) == 2:
                    why = f"has more special tokens than this model's limit of {self.max_seq_length}"
                    raise InputError(
                        f"inputs[{index}] is a pair, which {'has no pieces' if texts == 1 else why}"
                    )
        return parts

    def _encode(self, parts: Sequence[Any], size: int, offsets: bool) -> list[Prefix]:
        """Tokens of texts, or of lists of words, without special ones; of each some ``size`` characters.

        Offsets count from the beginning: where they are asked for, no beginning is left out.
        """
        size = sys.maxsize if offsets and self._keeps_end else size
        shortened = [
            shorten(part, size, self._boundary if len(part) > size else None, keeps_end=self._keeps_end)
            for part in parts
        ]
        clean = [without_surrogates(part) for part in shortened]
        encode = self._bare.encode_batch if offsets else self._bare.encode_batch_fast
        with _BLAME_THE_FILE:
            encodings = encode(clean, is_pretokenized=isinstance(clean[0], list))
        return [
            Prefix(encoding, len(seen) == len(part))
            for encoding, seen, part in zip(encodings, shortened, parts, strict=True)
        ]

    def with_limit(self, max_seq_length: int, direction: str | None = None) -> Tokenizer:
        """The tokenizer that cuts at another length, or on another side (``Left`` or ``Right``).

        The first time it costs as much as making one.
        """
        key = max_seq_length, direction
        if key not in self._with_limit:
            tokenizer_json: str = self._native.to_str()
            if direction is not None:
                settings = json.loads(tokenizer_json)
                settings["truncation"]["direction"] = direction
                tokenizer_json = json.dumps(settings)
            self._with_limit[key] = Tokenizer(tokenizer_json, max_seq_length, self._vocab_size)
        return self._with_limit[key]

    @property
    def direction(self) -> str:
        """The side on which texts are cut, ``Left`` or ``Right``."""
        return "Left" if self._keeps_end else "Right"

    def encode_uncut(self, texts: Sequence[str], *, special_tokens: bool = True) -> list[Encoding]:
        """Tokenize texts of any length with their offsets, as the tokenizer does it without a limit."""
        bare = [encoding for encoding, _ in self._encode(texts, sys.maxsize, True)]
        with _BLAME_THE_FILE:
            return [self._processor.process(each) for each in bare] if special_tokens else bare

    def token(self, number: int) -> str:
        """The spelling of a token, or its number for one that the vocabulary lacks."""
        return str(self._native.id_to_token(number) or number)

    def token_id(self, token: str) -> int | None:
        """The number of a token, None if the vocabulary lacks it."""
        number: int | None = self._native.token_to_id(without_surrogates(token))
        return number

    def ids(self, text: str) -> list[int]:
        """The numbers of a text's tokens, without special ones and without limit."""
        return list(self._encode([text], sys.maxsize, False)[0].encoding.ids)

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        """The text of some tokens, by the decoder of the tokenizer."""
        with _BLAME_THE_FILE:
            text: str = self._native.decode(list(ids), skip_special_tokens)
        return text

    def join(self, tokens: list[str]) -> str:
        """The text of some tokens by their spellings: ``convert_tokens_to_string`` of ``transformers``."""
        decoder = self._native.decoder
        if decoder is None:
            return " ".join(tokens)
        with _BLAME_THE_FILE:
            text: str = decoder.decode(tokens)
        return text

    @property
    def room(self) -> int:
        """The number of tokens that the limit leaves for a text."""
        return self._room[1]

    @cached_property
    def subword_prefix(self) -> str:
        """The beginning of tokens that continue a word, such as "##"; empty if tokens do not tell."""
        return getattr(self._native.model, "continuing_subword_prefix", None) or ""

    @cached_property
    def unknown_token(self) -> str:
        """The token that stands for what the vocabulary lacks."""
        return getattr(self._native.model, "unk_token", None) or "<unk>"

    @cached_property
    def _bare(self) -> NativeTokenizer:
        """The tokenizer without limit and special tokens; these are put in after the cut, by ``_finish``."""
        bare = NativeTokenizer.from_str(self._json)  # writing a hostile one to JSON may end the process
        bare.no_truncation()
        bare.post_processor = None
        return bare

    @cached_property
    def _boundary(self) -> re.Pattern[str] | None:
        return boundary(self._bare, keeps_end=self._keeps_end)

    def _finish(self, settled: list[tuple[list[Prefix], tuple[int, ...]]]) -> list[Encoding]:
        """Cut to the lengths that fit; put in special tokens and token types."""
        finished = []
        keep = last_tokens if self._keeps_end else first_tokens
        with _BLAME_THE_FILE:
            for prefixes, lengths in settled:
                cut = [
                    keep(*each) for each in zip([part.encoding for part in prefixes], lengths, strict=True)
                ]
                finished.append(self._processor.process(cut[0], cut[1] if len(cut) == 2 else None))
        return finished

    def _batch(self, encodings: list[Encoding], truncated: int, owners: Sequence[int]) -> TokenizedBatch:
        """Pack what has tokens. ``owners``: what the caller calls the input of each sequence."""
        full = [encoding for encoding in encodings if len(encoding)]
        ids = [each.ids for each in full]
        with _BLAME_THE_FILE:  # an id may not fit 32 bits
            packed = pack(ids, [each.type_ids for each in full])
        largest = max(ids[0]) if len(ids) == 1 else packed.inputs["input_ids"].max(initial=0)
        if self._vocab_size is not None and largest >= self._vocab_size:
            self._refuse_token(encodings, owners, self._vocab_size)
        empty = [index for index, encoding in enumerate(encodings) if not len(encoding)]
        return TokenizedBatch(packed, encodings, truncated, empty)

    def _refuse_token(self, encodings: list[Encoding], owners: Sequence[int], vocab_size: int) -> NoReturn:
        index, number = next(
            (index, number)
            for index, encoding in zip(owners, encodings, strict=True)
            for number in encoding.ids
            if number >= vocab_size
        )
        token = self._native.id_to_token(number)
        raise InputError(
            f"inputs[{index}] holds the token {token!r}, number {number}: the model's table has {vocab_size} "
            "rows. Leave it out of the text, or give the checkpoint a row for it"
        )


class _BlameTheFile:
    """Turns what the tokenizers library raises into ``ArtifactError``.

    What it is given has been checked before, so the tokenizer in the file must be wrong. It raises
    bare ``Exception``, and its panics are no ``Exception`` at all. A class, as a generator would cost a
    microsecond each time.
    """

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise ArtifactError(
                f"the tokenizer in the file does not work ({error}): compile the model again"
            ) from None


_BLAME_THE_FILE = _BlameTheFile()
