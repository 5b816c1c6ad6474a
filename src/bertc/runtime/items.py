"""What callers pass as inputs: texts, pairs of texts, lists of words, and collections of these."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath
from typing import Any, TypeGuard

from bertc.errors import InputError

Text = str
Pair = tuple[str, str]
Words = list[str]
Item = Text | Pair | Words
"""One input: a text, a pair of texts, or a text that is already split into words."""

_EXPECTED = "a string, a tuple of two strings (a pair), or a list of strings (words)"
_SURROGATES = re.compile("[\ud800-\udfff]")


def is_collection(value: Any) -> bool:
    """Return whether a value can be iterated, and is no bytes; NumPy's scalars and 0-d arrays cannot."""
    return (
        isinstance(value, Iterable)
        and not isinstance(value, (bytes, bytearray, memoryview))
        and getattr(value, "ndim", 1) > 0
    )


def path_text(value: Any, name: str, expected: str = "the path of a file") -> str:
    """Return a path as text. Raises ``InputError`` that names the argument if the value is no path."""
    text = os.fspath(value) if isinstance(value, (str, os.PathLike)) else None
    if not isinstance(text, str):
        raise InputError(f"{name} is {type(value).__name__}: expected {expected}")
    if not text or "\0" in text:
        raise InputError(f"{name} is {text!r}: expected {expected}")
    return text


def subfolder_path(value: Any) -> str:
    """Return a relative path without slashes at its ends. Raises ``InputError`` for any other."""
    if isinstance(value, str) and not {"\\", "\0"} & set(value):
        path = PurePosixPath(value)
        if not path.is_absolute() and ".." not in path.parts:
            return "/".join(path.parts)
    raise InputError(f"subfolder is {value!r}: expected the path of a folder inside the model's")


def as_items(inputs: Any) -> tuple[list[Any], bool]:
    """What the caller passed as a list of items, and whether it was a single item.

    A string is one text, a tuple is one pair, anything else that can be iterated is a batch.
    """
    if isinstance(inputs, (str, tuple)):
        return [inputs], True
    if not is_collection(inputs) or isinstance(inputs, dict):
        raise InputError(
            f"inputs are {type(inputs).__name__}: pass a string, a tuple of two strings, or a list of them"
        )
    return list(inputs), False


def check_item(item: Any, split: bool, index: int) -> tuple[Any, ...]:
    """The one or two texts of an item, or its list of words; raises ``InputError`` for anything else."""
    if isinstance(item, list) is not split:
        raise InputError(
            f"inputs[{index}] is {'text' if split else 'a list'}, inputs before it are "
            f"{'lists of words' if split else 'texts'}: a batch is one or the other"
        )
    if isinstance(item, str) or (isinstance(item, list) and all_strings(item)):
        return (item,)
    if isinstance(item, tuple) and len(item) == 2 and all_strings(item):
        return (item[0], item[1])
    raise InputError(f"inputs[{index}] is {describe(item)}: expected {_EXPECTED}")


def count_characters(part: Any) -> int:
    """The length of a text, or of a list of words with a space after each."""
    return len(part) if isinstance(part, str) else sum(map(len, part)) + len(part)


def without_surrogates(part: Any) -> Any:
    """A text, or a list of words, with each lone surrogate replaced by U+FFFD: UTF-8 has no place for them.

    One for one, so that character offsets stay right.
    """
    if not isinstance(part, str):
        return list(map(without_surrogates, part))
    try:
        part.encode()
    except UnicodeEncodeError:
        return _SURROGATES.sub("\ufffd", part)
    return part


def describe(item: Any) -> str:
    """What an item is that cannot be one, for messages."""
    if not isinstance(item, (list, tuple)):
        return type(item).__name__
    if not all_strings(item):
        odd = next(type(part).__name__ for part in item if not isinstance(part, str))
        return f"a {type(item).__name__} that holds {odd}"
    return f"a tuple of {len(item)} strings"


def all_strings(parts: Sequence[Any]) -> TypeGuard[Sequence[str]]:
    """Whether all parts are strings."""
    return all(isinstance(part, str) for part in parts)
