from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from bertc.frontends.folder import CheckpointFolder
from bertc.frontends.tokenizer import read_tokenizer, tokens_beyond
from tests.support.tiny_models import make_bert_checkpoint, make_tokenizer


def _read(path: Path, config: dict[str, Any], sentence_config: dict[str, Any]) -> Tokenizer:
    return Tokenizer.from_str(read_tokenizer(CheckpointFolder(path, "tiny"), "", config, sentence_config))


def test_padding_and_truncation_are_dropped(tmp_path: Path) -> None:
    tokenizer = make_tokenizer()
    tokenizer.enable_padding(length=128)
    tokenizer.enable_truncation(4)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert _read(tmp_path, {}, {}).encode("the man is in the house").tokens[1:-1] == [
        "the",
        "man",
        "is",
        "in",
        "the",
        "house",
    ]


@pytest.mark.parametrize(
    ("config", "sentence_config", "tokens"),
    [
        ({}, {}, ["the", "cafe"]),
        ({"do_lower_case": True}, {}, ["the", "cafe"]),
        ({"do_lower_case": False}, {}, ["[UNK]", "[UNK]"]),
        ({"do_lower_case": False}, {"do_lower_case": True}, ["the", "[UNK]"]),
        ({"strip_accents": False}, {}, ["the", "[UNK]"]),
    ],
)
def test_the_folders_other_files_override_the_normalizer(
    config: dict[str, Any], sentence_config: dict[str, Any], tokens: list[str], tmp_path: Path
) -> None:
    make_tokenizer().save(str(tmp_path / "tokenizer.json"))
    found = _read(tmp_path, config, sentence_config).encode("The CAFÉ", add_special_tokens=False).tokens
    joined = " ".join(found).replace(" ##", "").split()
    assert joined == tokens


@pytest.mark.parametrize("lower", [True, False])
def test_tokens_equal_those_of_transformers(lower: bool, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    path = make_bert_checkpoint(tmp_path)
    config = json.loads((path / "tokenizer_config.json").read_text()) | {"do_lower_case": lower}
    (path / "tokenizer_config.json").write_text(json.dumps(config))
    text = "The Dog plays: 我们 CAFÉ?"
    expected = transformers.AutoTokenizer.from_pretrained(path)(text)["input_ids"]
    assert _read(path, config, {}).encode(text).ids == expected


def test_tokens_beyond_the_table_are_named_in_order() -> None:
    tokenizer = make_tokenizer(300)
    tokenizer.add_tokens(["<first>", "<second>"])
    assert tokens_beyond(tokenizer.to_str(), 302) == []
    assert tokens_beyond(tokenizer.to_str(), 300) == ["<first>", "<second>"]
    assert tokens_beyond(tokenizer.to_str(), 299) == ["[unused131]", "<first>", "<second>"]
