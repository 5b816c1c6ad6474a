"""Checks of what callers pass to several tasks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from bertc.errors import InputError
from bertc.runtime.items import is_collection


def check_count(name: str, value: Any, least: int = 1) -> None:
    """Raise ``InputError`` unless ``value`` is a whole number that is not below ``least``."""
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < least:
        raise InputError(f"{name} is {value!r}: expected a whole number, at least {least}")


def check_choice(name: str, value: Any, choices: Iterable[str]) -> None:
    """Raise ``InputError`` unless ``value`` is one of ``choices``."""
    if not isinstance(value, str) or value not in choices:
        raise InputError(f"{name} is {value!r}: expected one of {', '.join(choices)}")


def as_list(name: str, values: Any) -> list[Any]:
    """Return what a collection of strings holds. Raises ``InputError`` for what is none, and for a string."""
    if isinstance(values, str) or not is_collection(values):
        raise InputError(f"{name} are {type(values).__name__}: expected a list of strings")
    return list(values)


def as_pairs(first: Any, second: Any, names: tuple[str, str]) -> tuple[list[tuple[Any, Any]], bool]:
    """Return the pairs of two texts or lists of texts, and whether it is one pair of texts.

    A text beside a list belongs to each text of it. Raises ``InputError`` for lists of different lengths.
    """
    given = dict(zip(names, (first, second), strict=True))
    for name, value in given.items():
        if not isinstance(value, (str, list, tuple)):
            raise InputError(f"{name} is {type(value).__name__}: expected a text, or a list of texts")
    lengths = {name: len(value) for name, value in given.items() if not isinstance(value, str)}
    if len(set(lengths.values())) > 1:
        sizes = " and ".join(f"{count} of {name}" for name, count in lengths.items())
        raise InputError(f"there are {sizes}: expected as many of one as of the other")
    count = max(lengths.values(), default=1)
    columns = [[value] * count if isinstance(value, str) else value for value in given.values()]
    pairs = list(zip(*columns, strict=True))
    for index, pair in enumerate(pairs):
        for name, text in zip(names, pair, strict=True):
            if not isinstance(text, str):
                raise InputError(f"{name}[{index}] is {type(text).__name__}: expected a text")
    return pairs, not lengths
