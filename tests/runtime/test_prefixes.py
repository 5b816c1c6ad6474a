"""Only the beginning or end of a long text is tokenized: the result is that of the library on all of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, models, normalizers, pre_tokenizers, processors, trainers
from tokenizers import Tokenizer as NativeTokenizer

from bertc.runtime import tokenization
from bertc.runtime.prefixes import boundary
from bertc.runtime.tokenization import Tokenizer
from tests.support.tiny_models import WORDS, make_tokenizer

CORPUS = [WORDS, WORDS.title(), "a man, a plan: 北京 我们!", " ".join(WORDS.split()[::-1]), "a   b     c" * 9]
SPECIAL = ["<s>", "</s>", "<unk>", "<pad>"]


def _bert(**changes: Any) -> NativeTokenizer:
    tokenizer = make_tokenizer()
    for name, value in changes.items():
        setattr(tokenizer, name, value)
    return tokenizer


def _byte_level(
    normalizer: Any = None, *, prefix: bool = False, before: Sequence[Any] = ()
) -> NativeTokenizer:
    tokenizer = NativeTokenizer(models.BPE())
    tokenizer.normalizer = normalizer
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*before, byte_level])
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0))
    return tokenizer


def _unigram(pre_tokenizer: Any) -> NativeTokenizer:
    tokenizer = NativeTokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace(_spaces(), "\u2581"), normalizers.Strip()]
    )
    tokenizer.pre_tokenizer = pre_tokenizer
    trainer = trainers.UnigramTrainer(
        vocab_size=120, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    return tokenizer


def _spaces() -> Any:
    from tokenizers import Regex

    return Regex(" {2,}")


def _with(tokenizer: NativeTokenizer, *tokens: AddedToken) -> NativeTokenizer:
    tokenizer.add_tokens(list(tokens))
    return tokenizer


TOKENIZERS: Mapping[str, Callable[[], NativeTokenizer]] = {
    "bert": _bert,
    "bert, no Chinese": lambda: _bert(normalizer=normalizers.BertNormalizer(handle_chinese_chars=False)),
    "bert, accents": lambda: _bert(normalizer=normalizers.BertNormalizer(strip_accents=False)),
    "bert, BertProcessing": lambda: _bert(
        post_processor=processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    ),
    "no post-processor": lambda: _bert(post_processor=None),
    "byte-level BPE": _byte_level,
    "byte-level BPE, prefix space": lambda: _byte_level(prefix=True),
    "byte-level BPE, Strip": lambda: _byte_level(normalizers.Strip()),
    "byte-level BPE, Prepend": lambda: _byte_level(normalizers.Prepend("x")),
    "byte-level BPE, scripts": lambda: _byte_level(before=[pre_tokenizers.UnicodeScripts()]),
    "byte-level BPE, Chinese": lambda: _byte_level(normalizers.BertNormalizer(), prefix=True),
    "Unigram": lambda: _unigram(pre_tokenizers.Metaspace()),
    "Unigram, split twice": lambda: _unigram(
        pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    ),
    "Unigram, across words": lambda: _unigram(pre_tokenizers.Metaspace(split=False)),
    "stripping tokens": lambda: _with(_bert(), AddedToken("<x>", lstrip=True, rstrip=True)),
    "token with a space": lambda: _with(_bert(), AddedToken("big dog")),
    "whole words": lambda: _with(_bert(), AddedToken("dog", single_word=True)),
}
NOWHERE = ("Unigram, across words", "token with a space", "whole words")
NO_END = (
    *(*NOWHERE, "Unigram", "stripping tokens"),
    *(f"byte-level BPE, {each}" for each in ("Strip", "Prepend", "scripts")),
)


@cache
def _json(name: str) -> str:
    return TOKENIZERS[name]().to_str()


@cache
def _tokenizers(name: str, limit: int, side: str) -> tuple[Tokenizer, NativeTokenizer]:
    reference = NativeTokenizer.from_str(_json(name))
    reference.enable_truncation(limit, direction=side)
    return Tokenizer(reference.to_str(), limit), reference


PIECES = (
    *("dog", "Man", "of", "unbelievable", "x" * 120, "big dog", "<x>", "[MASK]", "don't", "3.14"),
    *("北京", "我们在", "。", "é", "e\u0301", "\u0301", "ﬁ", "\u3164", "\u200b", "_", "😀", "\u2581"),
    *(" ", " ", " ", "  ", "     ", "\n", "\t", "\r\n", "\x0b", "\xa0", "\u3000", ",", "!?"),
)
TEXTS = st.lists(st.sampled_from(PIECES), max_size=60).map("".join)


FACTS = ("ids", "type_ids", "tokens", "offsets", "word_ids", "special_tokens_mask", "sequence_ids")


def _facts(encoding: Any, names: Sequence[str] = FACTS) -> dict[str, Any]:
    return {name: getattr(encoding, name) for name in names}


def _check(name: str, items: list[Any], limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for side in ("right", "left"):
        ours, reference = _tokenizers(name, limit, side)
        pretokenized = bool(items) and isinstance(items[0], list)
        expected = reference.encode_batch(items, is_pretokenized=pretokenized)
        with monkeypatch.context() as patch:
            patch.setattr(tokenization, "CHARACTERS_PER_TOKEN", 1)
            batch, fast = ours(items, offsets=True), ours(items)
        assert [_facts(each) for each in batch.encodings] == [_facts(each) for each in expected]
        names = ("ids", "type_ids", "special_tokens_mask")
        assert [_facts(each, names) for each in fast.encodings] == [_facts(each, names) for each in expected]
        assert batch.truncated == fast.truncated == sum(bool(each.overflowing) for each in expected)


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_place_to_cut_is_known_for_the_usual_tokenizers_alone(name: str) -> None:
    tokenizer = NativeTokenizer.from_str(_json(name))
    assert (boundary(tokenizer) is None) is (name in NOWHERE)
    assert (boundary(tokenizer, keeps_end=True) is None) is (name in NO_END)


@pytest.mark.parametrize("name", TOKENIZERS)
@settings(max_examples=100, deadline=None, derandomize=True)
@given(data=st.data(), limit=st.integers(5, 24))
def test_the_beginning_gives_what_all_of_the_text_gives(name: str, data: st.DataObject, limit: int) -> None:
    monkeypatch = pytest.MonkeyPatch()
    _check(name, data.draw(st.lists(TEXTS, min_size=1, max_size=3)), limit, monkeypatch)
    _check(name, [data.draw(st.tuples(TEXTS, TEXTS))], limit, monkeypatch)
    _check(name, [data.draw(st.lists(TEXTS, max_size=20))], limit, monkeypatch)


@pytest.mark.parametrize("limit", [3, 4, 8, 9])
def test_pairs_of_all_lengths_are_cut_as_the_library_cuts(
    limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = [("dog " * first, "cat " * second) for first in range(2 * limit) for second in range(2 * limit)]
    _check("bert", pairs, limit, monkeypatch)


@pytest.mark.parametrize("limit", [8, 9])
def test_of_two_long_texts_the_longer_one_gets_the_odd_token(
    limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths = (60, 61, 300)
    pairs = [("dog " * first, "cat " * second) for first in lengths for second in lengths]
    _check("bert", pairs, limit, monkeypatch)


@pytest.mark.parametrize(
    "text",
    [
        "dog " * 6 + " " * 300,
        " " * 300 + "dog " * 6,
        " " * 300 + "dog " * 9,
        "x" * 300 + " dog cat",
        "x" * 300,
        "dog" + "\u0301" * 300 + " cat",
        "北" * 300,
        "." * 300,
    ],
    ids=lambda text: ascii(text[:3] + text[-3:]),
)
def test_characters_without_a_token_are_passed_over(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _check("bert", [text, "dog", text], 8, monkeypatch)
    _check("bert", [("dog " * 9, text), (text, text)], 8, monkeypatch)


class Counting:
    """A native tokenizer that writes down how many characters, or words, it was given."""

    def __init__(self, native: Any) -> None:
        self.native, self.characters, self.words = native, 0, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.native, name)

    def encode_batch_fast(self, texts: list[str], **options: Any) -> Any:
        self.characters += sum(map(len, texts))
        self.words += sum(len(text) for text in texts if isinstance(text, list))
        return self.native.encode_batch_fast(texts, **options)


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize(
    ("item", "most"),
    [
        ("context word " * 60_000, 600),
        (("context word " * 60_000, "of " * 50), 600 + 150),
        # Which is longer must be known to the token; it is as soon as the shorter one ends.
        (("context word " * 60_000, "text " * 6_000), 8 * 30_000),
        (("dog", "北京" * 60_000), 3 + 600),
        ("a b " * 100 + "x" * 5_000 + " c" * 100, 5_600),
    ],
    ids=["text", "short and long", "both long", "Chinese", "one long word"],
)
def test_what_the_tokenizer_reads_depends_on_the_limit_and_the_shorter_text(
    item: Any, most: int, side: str
) -> None:
    tokenizer, _ = _tokenizers("bert", 64, side)
    tokenizer = Tokenizer(tokenizer._native.to_str(), 64)
    counting = tokenizer.__dict__["_bare"] = Counting(tokenizer._bare)
    batch = tokenizer([item])
    assert batch.truncated == 1 and len(batch.packed.inputs["input_ids"]) == 64
    assert counting.characters <= most


@pytest.mark.parametrize("side", ["right", "left"])
def test_word_lists_are_read_as_far_as_the_limit_reaches(side: str) -> None:
    words = ["dog"] * 100_000
    tokenizer = Tokenizer(_tokenizers("bert", 64, side)[0]._native.to_str(), 64)
    counting = tokenizer.__dict__["_bare"] = Counting(tokenizer._bare)
    batch = tokenizer([words, [" "] * 5000 + ["dog"] * 100 + [" "] * 5000])
    assert batch.truncated == 2 and batch.packed.cu_seqlens.tolist() == [0, 64, 128]
    assert counting.words <= 20_000


def test_pieces_of_a_word_list_are_in_its_order_on_either_side() -> None:
    words = ["dog", "cat", "sea", "sky", "car"] * 9
    for side in ("right", "left"):
        batch, owners = _tokenizers("bert", 10, side)[0].chunks([words, ["dog"]])
        found = [word for each in batch.encodings[:-1] for word in each.word_ids if word is not None]
        assert found == list(range(45)) and owners == [0] * 6 + [1]


def test_json_of_components_is_as_expected() -> None:
    """The names that :mod:`bertc.runtime.prefixes` looks for are those that the library writes."""
    data = json.loads(_json("Unigram"))
    replace = data["normalizer"]["normalizers"][1]
    assert (replace["type"], replace["pattern"]) == ("Replace", {"Regex": " {2,}"})
