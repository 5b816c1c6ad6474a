"""How much of a text the tokenizer must see, of which the model sees the first tokens alone (or the last).

The beginning of a text gives the same first tokens as all of it if it ends where the tokenizer never joins
what stands before with what stands after; and so does the end, if it also begins as in the midst of a text.
Such places are known for the usual tokenizers; texts for any other one are never cut here. What is exact is
not guessed: :func:`lengths_to_keep` says when more must be seen.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from tokenizers import Encoding
from tokenizers import Tokenizer as NativeTokenizer

from bertc.errors import InputError

CHARACTERS_PER_TOKEN = 8
"""What is looked at first, times the limit. English has 4 to 5 per token; where it is too little, twice as
much is looked at next."""

_SPLITS_AT_WHITE_SPACE = ("BertPreTokenizer", "Whitespace", "WhitespaceSplit")
_SPLITS_MORE = ("Punctuation", "Digits", "UnicodeScripts")
_KEEPS_WHITE_SPACE = (
    *("BertNormalizer", "Lowercase", "NFC", "NFD", "NFKC", "NFKD"),
    *("Nmt", "Precompiled", "Prepend", "Strip", "StripAccents"),
)
"""Normalizers that look at no more than a character and the marks that follow it."""
_RUN_OF_SPACES = {"Regex": " {2,}"}


class Prefix(NamedTuple):
    """The tokens of the beginning or the end of a text, or of all of it."""

    encoding: Encoding
    """Without special tokens."""
    complete: bool


def boundary(tokenizer: NativeTokenizer, *, keeps_end: bool = False) -> re.Pattern[str] | None:
    """Matches where a text may be cut: before a character that always starts a new word, after a letter.

    ``keeps_end``: what follows the place is kept, instead of what is before it. None if no such place is
    certain.
    """
    normalizers = list(_flat(tokenizer.normalizer, "normalizers"))
    pre_tokenizers = list(_flat(tokenizer.pre_tokenizer, "pretokenizers"))
    kinds = [each["type"] for each in normalizers if not _joins_spaces(each)]
    splitters = [each for each in pre_tokenizers if each["type"] not in _SPLITS_MORE]
    starts = _word_starts(splitters[0]) if splitters else ""
    if not starts or not all(kind in _KEEPS_WHITE_SPACE for kind in kinds):
        return None
    added = tokenizer.get_added_tokens_decoder().values()
    if keeps_end and splitters[0]["type"] not in _SPLITS_AT_WHITE_SPACE:  # white space is in the tokens
        starts = " "  # where a text begins with it, no other one is put before it
        if any(each["type"] == "Strip" and each["strip_left"] for each in normalizers):
            return None
        if any(each["type"] == "UnicodeScripts" for each in pre_tokenizers):
            return None  # it gives a space to the word before it, if there is one
    drops_white_space = all(each["type"] in _SPLITS_AT_WHITE_SPACE for each in splitters)
    if any(each["type"] == "BertNormalizer" and each["handle_chinese_chars"] for each in normalizers):
        starts += "\u3400-\u4dbf\u4e00-\u9fff" if drops_white_space or not keeps_end else ""
    found = re.compile(rf"(?<=\w)[{starts}]")
    if any(each.single_word or re.search(rf"[\s{starts}]", each.content) for each in added):
        return None  # these look beyond the characters that they stand for
    if keeps_end and ("Prepend" in kinds or any(each.rstrip for each in added)):
        return None  # these change what follows the place
    return found


def shorten(part: Any, size: int, cut: re.Pattern[str] | None, *, keeps_end: bool = False) -> Any:
    """The beginning of a text, or of a list of words, of at least ``size`` characters; all if in doubt.

    ``keeps_end``: its end instead.
    """
    if keeps_end:
        return _shorten_to_end(part, size, cut)
    if not isinstance(part, str):
        seen = accumulate(len(word) + 1 for word in part)
        return part[: next((count for count, total in enumerate(seen, 1) if total >= size), len(part))]
    found = cut.search(part, size) if cut is not None and len(part) > size else None
    return part if found is None else part[: found.start()]


def _shorten_to_end(part: Any, size: int, cut: re.Pattern[str] | None) -> Any:
    if not isinstance(part, str):
        return shorten(part[::-1], size, None)[::-1]
    stop, window = len(part) - size + 1, size
    while cut is not None and stop > 0:
        start = max(0, stop - window)
        if last := deque(cut.finditer(part, start, stop), maxlen=1):
            return part[last[0].start() :]
        if start == 0:
            break
        window *= 2
    return part


def lengths_to_keep(parts: Sequence[Prefix], room: int) -> tuple[int, ...] | None:
    """How many tokens of a text, or of each text of a pair, fit ``room``; None if more must be seen to say.

    Of a pair the longer text loses first, until both are equally long: "longest_first" of the tokenizers
    library. Of an odd room the longer text gets the larger half, or the second one if they are equal.
    """
    lengths = tuple(len(encoding) for encoding, _ in parts)
    if any(length <= room and not complete for length, (_, complete) in zip(lengths, parts, strict=True)):
        return None
    if sum(lengths) <= room:
        return lengths
    if len(parts) == 1:
        return (room,)
    first, second = parts
    first_is_longer = lengths[0] > lengths[1]
    shorter_is_complete = second.complete if first_is_longer else first.complete
    if not shorter_is_complete and room % 2:
        return None
    shorter = min(*lengths, room // 2)
    return (room - shorter, shorter) if first_is_longer else (shorter, room - shorter)


def lengths_that_keep_the_second(parts: Sequence[Prefix], room: int) -> tuple[int, ...] | None:
    """The same for a pair of which the first text alone is cut: "only_first" of the tokenizers library.

    Raises ``InputError`` if the second one leaves no room.
    """
    first, second = parts
    left = room - len(second.encoding)
    if left < min(len(first.encoding), 1):
        raise InputError(
            f"the second text of a pair has {len(second.encoding)} tokens or more, which leaves no room for "
            f"the first one in {room}: shorten it"
        )
    complete = second.complete and (first.complete or len(first.encoding) > left)
    return (min(len(first.encoding), left), len(second.encoding)) if complete else None


def first_tokens(encoding: Encoding, count: int) -> Encoding:
    """The first ``count`` tokens, without the rest as "overflowing".

    A post-processor would pair every overflow of one text with every one of the other. ``truncate`` leaves
    none in what it calls overflow itself, so the tokens are moved there, behind as many of padding.
    """
    if count >= len(encoding):
        return encoding
    padding = Encoding()
    if count == 0:
        return padding
    padding.pad(count)
    joined = Encoding.merge([padding, encoding], growing_offsets=False)
    joined.truncate(count)
    return joined.overflowing[0]


def overlapping(encoding: Encoding, count: int, overlap: int) -> list[Encoding]:
    """All tokens, in windows of ``count`` that share ``overlap`` tokens with the one before."""
    if len(encoding) <= count:
        return [encoding]
    rest = Encoding.merge([encoding], growing_offsets=False)
    rest.truncate(count, overlap)
    return [first_tokens(encoding, count), *rest.overflowing]


def last_tokens(encoding: Encoding, count: int) -> Encoding:
    """The last ``count`` tokens, as ``first_tokens`` gives the first ones."""
    if count == 0 or count >= len(encoding):
        return first_tokens(encoding, count)
    padding = Encoding()
    padding.pad(count)
    joined = Encoding.merge([encoding, padding], growing_offsets=False)
    joined.truncate(count, direction="left")
    return joined.overflowing[0]


def _flat(component: Any, key: str) -> Iterator[dict[str, Any]]:
    """A normalizer or a pre-tokenizer as JSON has it, sequences taken apart."""
    waiting = [] if component is None else [json.loads(component.__getstate__())]
    while waiting:
        each = waiting.pop(0)
        if each["type"] == "Sequence":
            waiting[:0] = each[key]
        else:
            yield each


def _joins_spaces(normalizer: dict[str, Any]) -> bool:
    """Whether it makes one of several spaces, as SentencePiece does."""
    return (
        normalizer["type"] == "Replace"
        and normalizer["pattern"] == _RUN_OF_SPACES
        and normalizer["content"] in (" ", "\u2581")
    )


def _word_starts(pre_tokenizer: dict[str, Any]) -> str:
    """The characters, as in a regular expression's brackets, before which it always splits."""
    kind = pre_tokenizer["type"]
    if kind in _SPLITS_AT_WHITE_SPACE or (kind == "ByteLevel" and pre_tokenizer.get("use_regex", True)):
        return " \t\n\r"
    return " " if kind == "Metaspace" and pre_tokenizer.get("split", True) else ""
