from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from bertc.errors import CheckpointError
from bertc.frontends.folder import CheckpointFolder
from bertc.frontends.huggingface import import_model
from bertc.frontends.tokenizer import read_tokenizer, tokens_beyond
from tests.support.tiny_models import make_bert_checkpoint, make_tokenizer

_AFTER_A_SPECIAL_ONE = {
    "300": {"content": "<special>", "special": True},
    "301": {"content": "<brand>", "special": False},
}
BERT = "BertTokenizer"
AS_IT_IS = "PreTrainedTokenizerFast"


def _read(
    path: Path,
    config: dict[str, Any],
    sentence_config: dict[str, Any] | None = None,
    *,
    default_class: str = BERT,
    limit: int = 64,
) -> Tokenizer:
    folder = CheckpointFolder(path, "tiny")
    return Tokenizer.from_str(
        read_tokenizer(folder, "", config, sentence_config or {}, default_class=default_class, limit=limit)
    )


def _write_vocabulary(path: Path) -> None:
    tokens = sorted(make_tokenizer().get_vocab().items(), key=lambda item: item[1])
    (path / "vocab.txt").write_text("".join(f"{token}\n" for token, _ in tokens), encoding="utf-8")


@pytest.mark.parametrize("name", [BERT, AS_IT_IS])
def test_padding_and_truncation_are_dropped(name: str, tmp_path: Path) -> None:
    tokenizer = make_tokenizer()
    tokenizer.enable_padding(length=128)
    tokenizer.enable_truncation(4)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    tokenizer = _read(tmp_path, {"tokenizer_class": name})
    assert tokenizer.encode("the man is in the house").tokens[1:-1] == [
        "the",
        "man",
        "is",
        "in",
        "the",
        "house",
    ]
    assert tokenizer.padding is None and tokenizer.truncation is None


@pytest.mark.parametrize(
    ("config", "sentence_config", "tokens"),
    [
        ({}, {}, ["the", "cafe"]),
        ({"do_lower_case": True}, {}, ["the", "cafe"]),
        ({"do_lower_case": False}, {}, ["[UNK]", "[UNK]"]),
        ({"do_lower_case": False}, {"do_lower_case": True}, ["the", "[UNK]"]),
        ({"strip_accents": False}, {}, ["the", "[UNK]"]),
        ({"tokenizer_class": AS_IT_IS, "do_lower_case": False}, {}, ["the", "cafe"]),
        ({"tokenizer_class": "BertTokenizerFast", "do_lower_case": False}, {}, ["[UNK]", "[UNK]"]),
    ],
)
def test_the_folders_other_files_override_the_normalizer(
    config: dict[str, Any], sentence_config: dict[str, Any], tokens: list[str], tmp_path: Path
) -> None:
    make_tokenizer().save(str(tmp_path / "tokenizer.json"))
    found = _read(tmp_path, config, sentence_config).encode("The CAFÉ", add_special_tokens=False).tokens
    joined = " ".join(found).replace(" ##", "").split()
    assert joined == tokens


def test_added_tokens_and_the_side_that_is_cut_are_written_into_the_json(tmp_path: Path) -> None:
    make_tokenizer().save(str(tmp_path / "tokenizer.json"))
    added = {"300": {"content": "<brand>", "special": False}}
    tokenizer = _read(tmp_path, {"truncation_side": "left", "added_tokens_decoder": added}, limit=9)
    assert tokenizer.encode("a <brand> dog").tokens == ["[CLS]", "a", "<brand>", "dog", "[SEP]"]
    truncation = {"direction": "left", "max_length": 9, "stride": 0, "strategy": "longest_first"}
    assert tokenizer.truncation == truncation


def test_a_class_that_is_not_known_is_named_and_tokenizer_json_used_as_it_is(tmp_path: Path) -> None:
    make_tokenizer().save(str(tmp_path / "tokenizer.json"))
    config = {"tokenizer_class": "MyTokenizer", "do_lower_case": False}
    with pytest.warns(UserWarning, match="tokenizer_class 'MyTokenizer' is not known here"):
        tokenizer = _read(tmp_path, config)
    assert tokenizer.encode("The").tokens == ["[CLS]", "the", "[SEP]"]
    assert tokenizer.encode("the", "dog").type_ids == [0, 0, 0, 1, 1]


@pytest.mark.parametrize(
    ("part", "now", "text", "tokens"),
    [
        ("model", "WordPiece", "doging", ["dog", "##ing"]),
        ("pre_tokenizer", "BertPreTokenizer", "dog!", ["dog", "!"]),
    ],
)
def test_a_class_that_replaces_the_rules_of_tokenizer_json_is_named(
    part: str, now: str, text: str, tokens: list[str], tmp_path: Path
) -> None:
    state = json.loads(make_tokenizer().to_str())
    if part == "model":
        state["model"] = {"type": "WordLevel", "vocab": state["model"]["vocab"], "unk_token": "[UNK]"}
    else:
        state["pre_tokenizer"] = {"type": "WhitespaceSplit"}
    (tmp_path / "tokenizer.json").write_text(json.dumps(state))
    there = state[part]["type"]
    with pytest.warns(UserWarning, match=f"has the {part} {there}, of which BertTokenizer makes {now}"):
        tokenizer = _read(tmp_path, {})
    assert tokenizer.encode(text).tokens == ["[CLS]", *tokens, "[SEP]"]
    tokenizer = _read(tmp_path, {"tokenizer_class": AS_IT_IS})
    assert tokenizer.encode(text).tokens == ["[CLS]", "[UNK]", "[SEP]"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("auto_map", {"AutoTokenizer": ["code.MyTokenizer", None]}),
        ("fast_tokenizer_files", ["tokenizer.json", "tokenizer.4.0.0.json"]),
        ("never_split", ["dog"]),
        ("do_basic_tokenize", False),
    ],
)
def test_a_key_without_effect_is_named(key: str, value: Any, tmp_path: Path) -> None:
    make_tokenizer().save(str(tmp_path / "tokenizer.json"))
    with pytest.warns(UserWarning, match=f"tokenizer_config.json: {key} has no effect"):
        _read(tmp_path, {key: value})
    _read(tmp_path, {key: True if key == "do_basic_tokenize" else None})


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "tokenizer.json is missing in .*, and so is vocab.txt"),
        ({"tokenizer_class": "RobertaTokenizer"}, "missing in .*, and so is vocab.json or merges.txt"),
        ({"tokenizer_class": "MyTokenizer"}, "missing in .* \\(tokenizer_class MyTokenizer\\)"),
        ({"tokenizer_class": AS_IT_IS}, "missing in .*AutoTokenizer.from_pretrained"),
    ],
)
def test_a_folder_without_a_tokenizer_is_told_what_is_missing(
    config: dict[str, Any], message: str, tmp_path: Path
) -> None:
    (tmp_path / "merges.txt").write_text("")
    with pytest.raises(CheckpointError, match=message):
        _read(tmp_path, config)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"truncation_side": "both"}, "truncation_side is 'both', expected right or left"),
        ({"added_tokens_decoder": {"1": "<brand>"}}, "tokens of the tokenizer are damaged"),
        ({"added_tokens_decoder": {"one": {"content": "<brand>"}}}, "tokens of the tokenizer are damaged"),
        ({"mask_token": {"text": "[MASK]"}}, "tokens of the tokenizer are damaged"),
        ({"extra_special_tokens": [7]}, "tokens of the tokenizer are damaged"),
        ({"cls_token": None}, "cls_token is None, which is no token"),
        ({"do_lower_case": "yes"}, "tokenizer.json is not a tokenizer"),
        ({"tokenizer_class": "XLMRobertaTokenizer"}, "tokenizer.json is not a tokenizer"),
        (
            {"split_special_tokens": True, "added_tokens_decoder": _AFTER_A_SPECIAL_ONE},
            "split_special_tokens together with special tokens outside the vocabulary",
        ),
    ],
)
def test_keys_that_make_no_sense_are_refused(config: dict[str, Any], message: str, tmp_path: Path) -> None:
    make_tokenizer().save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(CheckpointError, match=message):
        _read(tmp_path, config)


@pytest.mark.parametrize("file", ["added_tokens.json", "special_tokens_map.json"])
def test_older_files_are_checked_and_their_hashes_kept(file: str, tmp_path: Path) -> None:
    _write_vocabulary(tmp_path)
    (tmp_path / file).write_text("{}")
    folder = CheckpointFolder(tmp_path, "tiny")
    read_tokenizer(folder, "", {}, {}, default_class=BERT, limit=64)
    assert set(folder.hashes) == {"vocab.txt", file}
    (tmp_path / file).write_text('{"cls_token": 7, "<brand>": "x"}')
    with pytest.raises(CheckpointError):
        _read(tmp_path, {})


def test_a_checkpoint_with_vocab_txt_alone_is_imported(tmp_path: Path) -> None:
    path = make_bert_checkpoint(tmp_path)
    expected = import_model(path).tokenizer_json
    _write_vocabulary(path)
    (path / "tokenizer.json").unlink()
    model = import_model(path)
    text = "The dog plays, 我们 CAFÉ [MASK]"
    first, second = (Tokenizer.from_str(each).encode(text, text) for each in (expected, model.tokenizer_json))
    assert (first.ids, first.type_ids) == (second.ids, second.type_ids)
    assert "vocab.txt" in model.source["files"] and "tokenizer.json" not in model.source["files"]


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[PAD]\n[UNK]"])
def test_a_table_of_characters_that_is_damaged_is_named(content: bytes, tmp_path: Path) -> None:
    state = {
        "version": "1.0",
        "model": {
            "type": "Unigram",
            "unk_id": 3,
            "vocab": [[each, 0] for each in ("<s>", "a", "b", "<unk>")],
        },
        "normalizer": {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(content).decode()},
    }
    (tmp_path / "tokenizer.json").write_text(json.dumps(state))
    with pytest.raises(CheckpointError, match="is not a tokenizer"):
        _read(tmp_path, {"tokenizer_class": "XLMRobertaTokenizer"})


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[PAD]\n[UNK]"])
def test_a_vocabulary_that_cannot_be_read_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "vocab.json").write_bytes(content)
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    with pytest.raises(CheckpointError, match="is not a tokenizer"):
        _read(tmp_path, {}, default_class="RobertaTokenizer")


def test_tokens_beyond_the_table_are_named_in_order() -> None:
    tokenizer = make_tokenizer(300)
    tokenizer.add_tokens(["<first>", "<second>"])
    assert tokens_beyond(tokenizer.to_str(), 302) == []
    assert tokens_beyond(tokenizer.to_str(), 300) == ["<first>", "<second>"]
    assert tokens_beyond(tokenizer.to_str(), 299) == ["[unused131]", "<first>", "<second>"]
