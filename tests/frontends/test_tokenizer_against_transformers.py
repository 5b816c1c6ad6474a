"""The tokenizer of a compiled model against ``AutoTokenizer`` on the same folder: ids and token types."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from bertc.frontends.folder import CheckpointFolder
from bertc.frontends.model_class import tokenizer_class_of
from bertc.frontends.tokenizer import read_tokenizer
from bertc.runtime import tokenization
from bertc.runtime.tokenization import Tokenizer as OurTokenizer
from tests.support.tiny_models import write_json
from tests.support.tokenizer_folders import FOLDERS, unigram

transformers = pytest.importorskip("transformers")

LIMIT = 12
TEXTS = [
    "",
    " ",
    "a red dog",
    "The CAFÉ in Zürich, A\u030angstro\u0308m and naïve façade",
    "我们在北京 and 上海人民日报",
    "日本語 한국어 ไทย हिन्दी العربية Ελληνικά Привет",
    "smile \U0001f600\U0001f680 \u200d zero\u200bwidth",
    "<brand> a red dog",
    "pre<brand>post <brand>, <BRAND> [unused7]brand",
    "[CLS] a [MASK] b [SEP] <mask> c </s> d <s> [cls]",
    "tabs\tand\nlines  and   many    spaces ",
    "quay, QUIZ and aqua",
    "don't $5.00 100% a_b @ #",
    "\x00\x07 control \ufffd characters",
    "lone \ud800 surrogate \udfff",
    "one two three four five dog cat plays piano in London and Paris with the good child " * 3,
]
PAIRS = [
    (first, second) for first, second in zip(TEXTS, reversed(TEXTS), strict=True) if first and second
] + [("one two three four five " * n, "dog cat sea sky car train " * m) for n, m in ((1, 9), (9, 1), (9, 9))]
WORD_LISTS = [
    ["a"],
    ["The", "CAFÉ", "in", "Zürich", "<brand>", "北京", "dog,cat"],
    ["red", "", " ", "dog"],
    TEXTS[-1].split(),
]


def _write(path: Path, files: Mapping[str, Any]) -> Path:
    write_json(path / "config.json", {"model_type": "bert"})
    for name, content in files.items():
        if isinstance(content, str):
            (path / name).write_text(content, encoding="utf-8")
        else:
            write_json(path / name, content)
    return path


def _ours(path: Path, limit: int = LIMIT) -> OurTokenizer:
    folder = CheckpointFolder(path, "tiny")
    config = folder.read_json("config.json")
    made = read_tokenizer(
        folder,
        "",
        folder.read_json_if_there("tokenizer_config.json"),
        {},
        default_class=config.get("tokenizer_class") or str(tokenizer_class_of(config["model_type"])),
        limit=limit,
    )
    return OurTokenizer(made, limit)


@pytest.mark.filterwarnings("ignore:tokenizer.json has the")
def test_a_class_may_make_another_model_of_a_vocabulary(tmp_path: Path) -> None:
    """``transformers`` 4 took tokenizer.json as it is."""
    config = {"unk_token": "<unk>", "cls_token": "<s>", "sep_token": "</s>", "mask_token": "<mask>"}
    path = _write(tmp_path, {"tokenizer.json": json.loads(unigram()), "tokenizer_config.json": config})
    theirs, ours = transformers.AutoTokenizer.from_pretrained(path), _ours(path)
    for text in TEXTS[:-2]:
        assert ours([text]).encodings[0].ids == theirs(text, truncation=True, max_length=LIMIT)["input_ids"]


def _clean(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@pytest.mark.parametrize("name", FOLDERS)
def test_ids_and_token_types_are_those_of_autotokenizer(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transformers.logging.set_verbosity_error()
    path = _write(tmp_path, FOLDERS[name]())
    theirs, ours = transformers.AutoTokenizer.from_pretrained(path), _ours(path)
    for characters in (1, tokenization.CHARACTERS_PER_TOKEN):
        monkeypatch.setattr(tokenization, "CHARACTERS_PER_TOKEN", characters)
        for item in [*TEXTS, *PAIRS]:
            texts = tuple(map(_clean, item if isinstance(item, tuple) else (item,)))
            expected = theirs(*texts, truncation=True, max_length=LIMIT)
            types = expected.get("token_type_ids", [0] * len(expected["input_ids"]))
            for offsets in (False, True):
                (found,) = ours([item], offsets=offsets).encodings
                assert (found.ids, found.type_ids) == (expected["input_ids"], types), (item, found.tokens)
        for words in WORD_LISTS:
            expected = theirs(words, is_split_into_words=True, truncation=True, max_length=LIMIT)
            (found,) = ours([words]).encodings
            assert found.ids == expected["input_ids"], words
