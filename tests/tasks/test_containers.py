from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bertc.errors import InputError
from bertc.tasks.containers import as_pairs_to_score, as_texts_and_pairs

PAIR = ("a", "b")
DICT = {"text": "a", "text_pair": "b"}


@pytest.mark.parametrize(
    ("inputs", "item"), [("a", "a"), (PAIR, PAIR), (DICT, PAIR), ({"text": "a"}, "a"), ("", "")]
)
def test_one_text_or_pair_by_itself(inputs: Any, item: Any) -> None:
    assert as_texts_and_pairs(inputs) == ([item], True)
    assert as_texts_and_pairs([inputs]) == ([item], False)
    assert as_pairs_to_score(inputs) == ([item], True)


@pytest.mark.parametrize(
    ("inputs", "items"),
    [
        (["a", "b"], ["a", "b"]),
        ([["a", "b"]], [PAIR]),
        ([["a", "b"], PAIR, DICT, "c"], [PAIR, PAIR, PAIR, "c"]),
        ((PAIR, ["c", "d"]), [PAIR, ("c", "d")]),
        ((text for text in "ab"), ["a", "b"]),
        (np.array([["a", "b"], ["c", "d"]]), [PAIR, ("c", "d")]),
        ([], []),
        ((), []),
        ([{"text": "a", "text_pair": None}], ["a"]),
    ],
)
def test_several(inputs: Any, items: list[Any]) -> None:
    assert as_texts_and_pairs(inputs) == (items, False)


def test_two_strings_in_a_list_are_one_pair_to_score() -> None:
    assert as_pairs_to_score(["a", "b"]) == ([PAIR], True)
    assert as_pairs_to_score(np.array(["a", "b"])) == ([PAIR], True)
    assert as_pairs_to_score([["a", "b"]]) == ([PAIR], False)
    assert as_pairs_to_score([]) == ([], False)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([["a"]], r"inputs\[0\] is a list of 1"),
        ([["a", "b", "c"]], r"inputs\[0\] is a list of 3"),
        (("a", "b", "c"), "inputs is a tuple of 3"),
        (["a", ["b", 3]], r"inputs\[1\] is a list of 2"),
        ([{"query": "a"}], r"inputs\[0\] is a dict of query"),
        ([{}], r"inputs\[0\] is a dict of nothing"),
        ([None], r"inputs\[0\] is NoneType"),
        (3, "inputs is int"),
        (b"a", "inputs is bytes"),
    ],
)
def test_what_could_mean_two_things_is_refused_with_both_spellings(inputs: Any, message: str) -> None:
    for read in (as_texts_and_pairs, as_pairs_to_score):
        with pytest.raises(InputError, match=message) as caught:
            read(inputs)
        assert '["a text", "another"]' in str(caught.value) and '("a text", "another")' in str(caught.value)


def test_three_strings_in_a_list_are_no_pair() -> None:
    with pytest.raises(InputError, match="inputs is a list of 3"):
        as_pairs_to_score(["a", "b", "c"])
