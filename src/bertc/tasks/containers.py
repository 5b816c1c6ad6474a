"""What a container means to a model that reads texts and pairs of texts, and no lists of words.

docs/inputs.md has the rules of every task in one table.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bertc.errors import InputError
from bertc.runtime.items import Pair, all_strings, is_collection

_KEYS = {"text", "text_pair"}


def as_texts_and_pairs(inputs: Any) -> tuple[list[str | Pair], bool]:
    """Return the texts and pairs that a caller passed, and whether it was one by itself.

    One by itself is a string, a tuple of two strings, or a dict of "text" and "text_pair", as the
    ``text-classification`` pipeline has it. Of anything else each item is a text or a pair. Raises
    ``InputError`` that shows the spellings.
    """
    if isinstance(inputs, np.ndarray):
        inputs = inputs.tolist()
    alone = isinstance(inputs, (str, dict)) or (isinstance(inputs, tuple) and all_strings(inputs))
    if alone and inputs != ():
        return [_text_or_pair(inputs, "inputs")], True
    return [_text_or_pair(item, f"inputs[{index}]") for index, item in enumerate(_listed(inputs))], False


def as_pairs_to_score(inputs: Any) -> tuple[list[str | Pair], bool]:
    """Return the pairs that a caller passed, and whether it was one by itself, as ``CrossEncoder`` has it.

    Unlike in :func:`as_texts_and_pairs`, a list of strings is one pair. Raises ``InputError``.
    """
    if isinstance(inputs, np.ndarray):
        inputs = inputs.tolist()
    if isinstance(inputs, list) and inputs and all_strings(inputs):
        return [_text_or_pair(inputs, "inputs")], True
    return as_texts_and_pairs(inputs)


def _listed(inputs: Any) -> list[Any]:
    if not is_collection(inputs):
        raise _wrong(inputs, "inputs")
    return list(inputs)


def _text_or_pair(item: Any, where: str) -> str | Pair:
    if isinstance(item, str):
        return item
    if isinstance(item, dict):
        text, other = item.get("text"), item.get("text_pair")
        if isinstance(text, str) and (other is None or isinstance(other, str)) and set(item) <= _KEYS:
            return text if other is None else (text, other)
    elif isinstance(item, (tuple, list)) and len(item) == 2 and all_strings(item):
        return item[0], item[1]
    raise _wrong(item, where)


def _wrong(item: Any, where: str) -> InputError:
    if isinstance(item, dict):
        found = f"a dict of {', '.join(map(str, item)) or 'nothing'}"
    elif isinstance(item, (tuple, list)):
        found = f"a {type(item).__name__} of {len(item)}"
    else:
        found = type(item).__name__
    return InputError(
        f"{where} is {found}. This model takes no lists of words: several texts are "
        '["a text", "another"], one pair is ("a text", "another") or '
        '{"text": "a text", "text_pair": "another"}, and several pairs are [("a text", "another"), ...]'
    )
