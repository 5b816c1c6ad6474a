from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import processors

from bertc.errors import ArtifactError, InputError
from bertc.runtime.items import as_items
from bertc.runtime.tokenization import Tokenizer
from tests.support.tiny_models import make_tokenizer

LIMIT = 16
JSON = make_tokenizer().to_str()
CLS, SEP = 2, 3


@pytest.fixture
def tokenizer() -> Tokenizer:
    return Tokenizer(JSON, LIMIT)


def ids(tokenizer: Tokenizer, items: list[Any]) -> list[list[int]]:
    return [each.ids for each in tokenizer(items).encodings]


def test_texts_are_packed_without_padding(tokenizer: Tokenizer) -> None:
    batch = tokenizer(["the man", "a good dog plays"])
    assert batch.packed.cu_seqlens.tolist() == [0, 4, 10]
    assert batch.packed.inputs["input_ids"][[0, 3, 4, 9]].tolist() == [CLS, SEP, CLS, SEP]
    assert not batch.packed.inputs["token_type_ids"].any()
    assert batch.truncated == 0


@pytest.mark.parametrize("text", ["", "   ", "\n\t ", "\u200b\ufeff", "\ud800\udfff"])
def test_text_without_words_is_cls_and_sep(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer([text]).packed.inputs["input_ids"].tolist() == [CLS, SEP]
    assert tokenizer([[text]]).packed.inputs["input_ids"].tolist() == [CLS, SEP]


def test_no_words_is_cls_and_sep(tokenizer: Tokenizer) -> None:
    assert tokenizer([[]]).packed.inputs["input_ids"].tolist() == [CLS, SEP]


def test_a_pair_has_two_token_types(tokenizer: Tokenizer) -> None:
    batch = tokenizer([("good", "bad"), "good"])
    assert batch.packed.inputs["token_type_ids"].tolist() == [0, 0, 0, 1, 1, 0, 0, 0]


def test_padding_and_truncation_of_the_file_are_ignored() -> None:
    native = make_tokenizer()
    native.enable_padding(length=12)
    native.enable_truncation(4)
    batch = Tokenizer(native.to_str(), LIMIT)(["one two three four five", "one"])
    assert batch.packed.cu_seqlens.tolist() == [0, 7, 10]


def test_words_keep_their_ids(tokenizer: Tokenizer) -> None:
    (encoding,) = tokenizer([["playing", "unseen1", "the"]], offsets=True).encodings
    words = [word for word in encoding.word_ids if word is not None]
    assert sorted(set(words)) == [0, 1, 2] and words == sorted(words)


def test_surrogates_are_replaced_one_for_one(tokenizer: Tokenizer) -> None:
    text = "dog \ud83d\ude00 cat \udfff!"
    (encoding,) = tokenizer([text], offsets=True).encodings
    start, end = encoding.offsets[encoding.tokens.index("cat")]
    assert text[start:end] == "cat"
    assert ids(tokenizer, [("a \ud800", "dog")]) == ids(tokenizer, [("a", "dog")])
    assert ids(tokenizer, [["x\udc00", "dog"]]) == ids(tokenizer, [["x", "dog"]])


def test_long_text_is_cut_and_counted(tokenizer: Tokenizer) -> None:
    long = "dog " * 25_000
    assert len(long) == 100_000
    batch = tokenizer([long, "cat", long])
    assert batch.truncated == 2
    assert batch.packed.cu_seqlens.tolist() == [0, 16, 19, 35]
    assert batch.packed.inputs["input_ids"][15] == SEP


def test_text_of_exactly_the_limit_is_not_truncated(tokenizer: Tokenizer) -> None:
    assert tokenizer(["dog " * (LIMIT - 2)]).truncated == 0


def test_long_pair_is_counted(tokenizer: Tokenizer) -> None:
    batch = tokenizer([("dog " * 20, "cat")])
    assert batch.truncated == 1
    assert len(batch.packed.inputs["input_ids"]) == LIMIT


@pytest.mark.parametrize("stride", [0, 1, 13])
def test_chunks_overlap_as_the_library_cuts_them(tokenizer: Tokenizer, stride: int) -> None:
    native = make_tokenizer()
    native.enable_truncation(LIMIT, stride=stride)
    for item in ("", "the cat", "the cat plays " * 20, ["doging", "cat"] * 20):
        whole = native.encode(item, is_pretokenized=isinstance(item, list))
        batch, owners = tokenizer.chunks([item], stride=stride)
        for found, expected in zip(batch.encodings, [whole, *whole.overflowing], strict=True):
            assert (found.ids, found.offsets, found.word_ids, found.special_tokens_mask) == (
                expected.ids,
                expected.offsets,
                expected.word_ids,
                expected.special_tokens_mask,
            )
        assert owners == [0] * len(batch.encodings)


@pytest.mark.parametrize("stride", [-1, 14])
def test_an_overlap_leaves_room_for_a_token(tokenizer: Tokenizer, stride: int) -> None:
    with pytest.raises(InputError, match=f"stride is {stride}: expected 0 to 13"):
        tokenizer.chunks(["cat"], stride=stride)


def test_the_second_text_can_be_kept_whole(tokenizer: Tokenizer) -> None:
    native = make_tokenizer()
    native.enable_truncation(LIMIT, strategy="only_first")
    pairs = [("cat " * n, "dog " * m) for n in (0, 1, 5, 30, 3000) for m in (0, 1, 6, 12)]
    batch = tokenizer(pairs, keep_second=True)
    assert [each.ids for each in batch.encodings] == [native.encode(*pair).ids for pair in pairs]
    assert batch.truncated == sum(len(a.split()) + len(b.split()) > 13 for a, b in pairs)
    assert tokenizer([("", "dog " * 13)], keep_second=True).truncated == 0
    for second in ("dog " * 13, "dog " * 5000):
        with pytest.raises(InputError, match="leaves no room for the first one in 13"):
            tokenizer([("cat", second)], keep_second=True)


def test_chunks_lose_no_token(tokenizer: Tokenizer) -> None:
    words = ["dog"] * (2 * (LIMIT - 2) + 3)
    batch, owners = tokenizer.chunks([["cat"], words])
    assert owners == [0, 1, 1, 1]
    assert batch.packed.cu_seqlens.tolist() == [0, 3, 19, 35, 40]
    assert batch.truncated == 0
    seen = [word for each in batch.encodings[1:] for word in each.word_ids if word is not None]
    assert seen == list(range(len(words)))


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (["a", None], r"inputs\[8\] is NoneType"),
        (["a", 3], r"inputs\[8\] is int"),
        ([b"a"], r"inputs\[7\] is bytes"),
        (["a", ("b", 3)], r"inputs\[8\] is a tuple that holds int"),
        ([("a", "b", "c")], r"inputs\[7\] is a tuple of 3 strings"),
        ([["a", 1.5]], r"inputs\[7\] is a list that holds float"),
        (["a", ["b"]], r"inputs\[8\] is a list, inputs before it are texts"),
        ([["b"], "a"], r"inputs\[8\] is text, inputs before it are lists of words"),
    ],
)
def test_wrong_item_is_named(tokenizer: Tokenizer, items: list[Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        tokenizer(items, first=7)


def test_a_token_beyond_the_vocabulary_is_named_with_its_text() -> None:
    native = make_tokenizer(300)
    native.add_tokens(["<new>"])
    tokenizer = Tokenizer(native.to_str(), LIMIT, vocab_size=300)
    assert tokenizer(["dog cat", "the man"]).truncated == 0
    message = r"inputs\[8\] holds the token '<new>', number 300: the model's table has 300 rows"
    for items in (["dog", "dog <new>"], ["dog", ("dog", "a <new>")], [["dog"], ["dog", "<new>"]]):
        with pytest.raises(InputError, match=message):
            tokenizer(items, first=7)
    with pytest.raises(InputError, match=message):
        tokenizer.chunks([["dog"] * 100, ["dog"] * 50 + ["<new>"]], first=7)
    tokenizer(["dog " * 50 + "<new>"])  # cut off before it
    assert Tokenizer(native.to_str(), LIMIT)(["<new>"]).packed.inputs["input_ids"].tolist() == [CLS, 300, SEP]


def test_sequences_without_a_token_are_left_out_of_what_is_packed() -> None:
    native = make_tokenizer()
    native.post_processor = None
    tokenizer = Tokenizer(native.to_str(), LIMIT)
    batch = tokenizer(["", "dog cat", "  ", "man"])
    assert batch.empty == [0, 2] and len(batch.encodings) == 4
    assert batch.packed.cu_seqlens.tolist() == [0, 2, 3]
    assert tokenizer([("", "")]).empty == [0] and tokenizer([]).empty == []
    batch, owners = tokenizer.chunks([[], ["dog"], [" "], ["cat"] * 20])
    assert owners == [1, 3, 3] and batch.packed.cu_seqlens.tolist() == [0, 1, 17, 21]


@pytest.mark.parametrize("limit", [0, 1, 2])
def test_a_limit_that_special_tokens_use_up_is_refused(limit: int) -> None:
    with pytest.raises(
        ArtifactError, match=f"max_seq_length is {limit}, which leaves no room beside the 2 spec"
    ):
        Tokenizer(JSON, limit)


def test_the_smallest_limits_hold() -> None:
    native = make_tokenizer()
    assert ids(Tokenizer(JSON, 3), ["dog cat", ("dog", "cat")]) == [
        [CLS, native.token_to_id("dog"), SEP],
        [CLS, SEP, SEP],
    ]
    native.post_processor = processors.TemplateProcessing(
        single="[CLS] $A", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)]
    )
    tokenizer = Tokenizer(native.to_str(), 2)
    assert len(ids(tokenizer, ["dog cat"])[0]) == 2
    with pytest.raises(
        InputError, match=r"inputs\[1\] is a pair, which has more special tokens than .* of 2"
    ):
        tokenizer(["dog", ("dog", "cat")])


def test_pairs_have_no_pieces(tokenizer: Tokenizer) -> None:
    with pytest.raises(InputError, match=r"inputs\[0\] is a pair"):
        tokenizer.chunks([("dog", "cat")])  # type: ignore[list-item]


@pytest.mark.parametrize("text", ["{", "{}", "null", ""])
def test_damaged_tokenizer_is_an_artifact_error(text: str) -> None:
    with pytest.raises(ArtifactError, match="tokenizer"):
        Tokenizer(text, LIMIT)


def test_a_tokenizer_that_fails_on_a_text_is_an_artifact_error() -> None:
    broken = json.loads(JSON)
    broken["model"]["unk_token"] = "[MISSING]"
    with pytest.raises(ArtifactError, match="does not work"):
        Tokenizer(json.dumps(broken), LIMIT)(["\u4e00\u4e01 zzz%"])
    huge = json.loads(JSON)
    huge["model"]["vocab"]["cat"] = 2**32 - 1
    with pytest.raises(ArtifactError, match="does not work"):
        Tokenizer(json.dumps(huge), LIMIT)(["cat"])


def test_single_and_batch_are_told_apart() -> None:
    assert as_items("a") == (["a"], True)
    assert as_items(("a", "b")) == ([("a", "b")], True)
    assert as_items(["a"]) == (["a"], False)
    assert as_items(text for text in "ab") == (["a", "b"], False)
    for wrong in (None, 3, b"a", {"text": "a"}):
        with pytest.raises(InputError, match=type(wrong).__name__):
            as_items(wrong)


def test_tokens_are_counted_with_special_ones(tokenizer: Tokenizer) -> None:
    whole, cut = tokenizer(["dog", "dog cat"]), tokenizer(["dog " * 30])
    assert (whole.packed.cu_seqlens[-1], whole.truncated) == (3 + 4, 0)
    assert (cut.packed.cu_seqlens[-1], cut.truncated) == (16, 1)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=())), max_size=5))
def test_any_text_tokenizes_alone_as_in_a_batch(texts: list[str]) -> None:
    tokenizer = Tokenizer(JSON, LIMIT)
    assert ids(tokenizer, texts) == [ids(tokenizer, [text])[0] for text in texts]
