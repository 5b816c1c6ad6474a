"""Packed arrays that make no sense are refused by name; strange texts have defined results."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bertc
from tests.support.artifacts import Artifacts

pytestmark = pytest.mark.native

INT32_MAX = 2**31 - 1


@pytest.fixture(scope="module")
def path(artifacts: Artifacts) -> Path:
    return artifacts.tiny("int8")


@pytest.fixture(scope="module")
def encoder(path: Path) -> bertc.Encoder:
    return bertc.load(path, num_threads=2)


def ids(*values: int) -> np.ndarray[Any, Any]:
    return np.array(values, np.int32)


GOOD_IDS = ids(2, 7, 8, 9, 3)


@pytest.mark.parametrize(
    "cu_seqlens",
    [
        ids(),
        ids(0),
        ids(5),
        ids(1, 5),
        ids(-1, 5),
        ids(0, 4),
        ids(0, 6),
        ids(0, INT32_MAX),
        ids(0, 0, 5),
        ids(0, 3, 3, 5),
        ids(0, 3, 2, 5),
        ids(0, -3, 5),
        ids(0, 5, 5),
        ids(0, 6, 5),
        ids(0, 2, INT32_MAX, 5),
        np.array([[0, 5]], np.int32),
        np.array([0.0, 5.0], np.float32),
        np.array([0, 2**40], np.int64),
        np.array([0, 2**64 - 1], np.uint64),
        np.array(5, np.int32),
        np.array(["0", "5"]),
        np.array([None, 5], object),
    ],
    ids=lambda value: f"{value.dtype}{value.tolist()}",
)
def test_bad_cu_seqlens_are_refused(encoder: bertc.Encoder, cu_seqlens: np.ndarray[Any, Any]) -> None:
    with pytest.raises(bertc.InputError, match="cu_seqlens"):
        encoder.session.run(GOOD_IDS, cu_seqlens)


@pytest.mark.parametrize("name", ["input_ids", "token_type_ids", "position_ids"])
@pytest.mark.parametrize("value", [-1, 10**6, INT32_MAX, -(2**31)])
@pytest.mark.parametrize("place", [0, 4])
def test_id_outside_its_table_is_refused_by_name(
    encoder: bertc.Encoder, name: str, value: int, place: int
) -> None:
    arrays: dict[str, Any] = {
        "input_ids": GOOD_IDS.copy(),
        "token_type_ids": ids(0, 0, 0, 0, 0),
        "position_ids": ids(0, 1, 2, 3, 4),
    }
    arrays[name][place] = value
    with pytest.raises(bertc.InputError, match=str(value)):
        encoder.session.run(cu_seqlens=ids(0, 5), **arrays)


def test_first_id_beyond_the_vocabulary_is_refused(encoder: bertc.Encoder) -> None:
    size = encoder.info.size("vocab_size")
    encoder.session.run(ids(size - 1), ids(0, 1))
    with pytest.raises(bertc.InputError):
        encoder.session.run(ids(size), ids(0, 1))


def test_sequence_longer_than_the_position_table_is_refused(encoder: bertc.Encoder) -> None:
    longest = encoder.info.size("max_position_embeddings")
    encoder.session.run(np.full(longest, 7, np.int32), ids(0, longest))
    with pytest.raises(bertc.InputError):
        encoder.session.run(np.full(longest + 1, 7, np.int32), ids(0, longest + 1))


@pytest.mark.parametrize("name", ["input_ids", "token_type_ids", "position_ids"])
@pytest.mark.parametrize(
    "array",
    [
        np.zeros(4, np.int32),
        np.zeros(6, np.int32),
        np.zeros(0, np.int32),
        np.zeros((1, 5), np.int32),
        np.zeros(5, np.float32),
        np.full(5, np.nan),
        np.zeros(5, bool),
        np.full(5, 2**40, np.int64),
    ],
    ids=lambda value: f"{value.dtype}{list(value.shape)}",
)
def test_array_of_another_shape_or_type_is_refused(
    encoder: bertc.Encoder, name: str, array: np.ndarray[Any, Any]
) -> None:
    arrays: dict[str, Any] = {"input_ids": GOOD_IDS, name: array}
    with pytest.raises(bertc.InputError):
        encoder.session.run(cu_seqlens=ids(0, 5), **arrays)


@pytest.mark.parametrize("outputs", [5, "sentence_embedding", ["logits"]])
def test_outputs_are_a_list_of_known_names(encoder: bertc.Encoder, outputs: Any) -> None:
    with pytest.raises(bertc.InputError, match=r"list of names|no output 'logits'"):
        encoder.session.run(GOOD_IDS, ids(0, 5), outputs=outputs)


def test_strided_and_wider_arrays_are_the_same_numbers(encoder: bertc.Encoder) -> None:
    expected = encoder.session.run(GOOD_IDS, ids(0, 5))
    strided = np.stack([GOOD_IDS, GOOD_IDS + 1], axis=1)[:, 0]
    for variant in (strided, GOOD_IDS.astype(np.int64), GOOD_IDS.astype(np.uint8), GOOD_IDS.astype(">i4")):
        found = encoder.session.run(variant, ids(0, 5))
        for name, values in expected.items():
            np.testing.assert_array_equal(found[name], values)


def test_no_sequence_at_all_has_a_defined_result(encoder: bertc.Encoder) -> None:
    assert np.shape(encoder.encode([])) == (0, encoder.info.size("hidden_size"))


def test_session_still_works_after_every_refusal(encoder: bertc.Encoder) -> None:
    before = encoder.session.run(GOOD_IDS, ids(0, 5))["sentence_embedding"]
    for bad in (ids(0, 4), ids(0, 0, 5)):
        with pytest.raises(bertc.InputError):
            encoder.session.run(GOOD_IDS, bad)
    after = encoder.session.run(GOOD_IDS, ids(0, 5))["sentence_embedding"]
    np.testing.assert_array_equal(before, after)


STRANGE_TEXTS = [
    "",
    " ",
    "\t\n\r",
    "\u200b\u200d\ufeff",
    "\0",
    "a\0b",
    "😀👩‍👩‍👧‍👦🏳️‍🌈",
    "\ud83d",
    "\ude00\ud83d",
    "dog \udfff cat",
    "e\u0301" * 50,
    "a" + "\u0300" * 1000,
    "\u202eright to left\u202c",
    "مرحبا بالعالم",
    "北京上海",
    "\U0010ffff\uffff\ufffe",
    "x" * 5000,
    "[CLS] [SEP] [PAD] [MASK] [UNK]",
    "##ing ## #",
    "<script>%s%n{}\\u0000",
]


@pytest.mark.parametrize("text", STRANGE_TEXTS, ids=lambda text: ascii(text)[:30])
def test_strange_text_gives_a_finite_vector(encoder: bertc.Encoder, text: str) -> None:
    vector = np.asarray(encoder.encode(text))
    assert vector.shape == (encoder.info.size("hidden_size"),)
    assert np.isfinite(vector).all()


def test_strange_texts_give_the_same_bits_in_a_batch(encoder: bertc.Encoder) -> None:
    together = encoder.encode(STRANGE_TEXTS)
    for text, vector in zip(STRANGE_TEXTS, together, strict=True):
        np.testing.assert_array_equal(encoder.encode(text), vector)


@pytest.mark.parametrize(
    "text", ["dog " * 10_000, "a" * 100_000, "dog cat " * 12_500], ids=["words", "one word", "pairs"]
)
def test_long_text_is_cut_at_the_limit_with_one_warning_a_call(path: Path, text: str) -> None:
    encoder = bertc.load(path, num_threads=1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        first, second = encoder.encode(text), encoder.encode([text, text])[1]
    np.testing.assert_array_equal(first, second)
    counts = encoder.count_tokens([text])
    assert counts.tokens <= encoder.info.max_seq_length
    assert len(caught) == 2 * counts.truncated


def test_cut_text_equals_its_beginning(path: Path) -> None:
    encoder = bertc.load(path, num_threads=1)
    words = encoder.info.max_seq_length - 2
    with pytest.warns(UserWarning, match="limit"):
        cut = encoder.encode("dog " * 10_000)
    np.testing.assert_array_equal(cut, encoder.encode("dog " * words))


@pytest.mark.parametrize(
    "inputs", [None, 5, b"bytes", ["text", None], [1, 2], {"a": 1}, [b"bytes"], object()]
)
def test_what_is_no_text_is_refused(encoder: bertc.Encoder, inputs: Any) -> None:
    with pytest.raises(bertc.InputError):
        encoder.encode(inputs)
