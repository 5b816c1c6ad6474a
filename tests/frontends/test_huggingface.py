from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertc.errors import CheckpointError
from bertc.frontends.huggingface import import_model
from bertc.ports import Port
from tests.support.tiny_models import (
    DEFAULT_CONFIG,
    bert_tensors,
    make_bert_checkpoint,
    write_json,
    write_safetensors,
)


def _edit_json(file: Path, **changes: Any) -> None:
    data = json.loads(file.read_text(encoding="utf-8")) | changes
    write_json(file, {key: value for key, value in data.items() if value is not ...})


def _constants_equal(a: Path, b: Path) -> bool:
    one, other = import_model(a).graph.constants, import_model(b).graph.constants
    return set(one) == set(other) and all(np.array_equal(one[n].array, other[n].array) for n in one)


def test_info_describes_an_embedding_model(tmp_path: Path) -> None:
    path = make_bert_checkpoint(tmp_path / "tiny", pooling="cls", normalize=True, max_seq_length=33)
    info = import_model(path).info
    assert (info.name, info.architecture, info.task) == ("tiny", "BertModel", "embedding")
    assert (info.facts["pooling"], info.facts["normalize_embeddings"], info.max_seq_length) == (
        "cls",
        True,
        33,
    )
    assert tuple(info.size(name) for name in ("hidden_size", "num_hidden_layers", "vocab_size")) == (
        32,
        2,
        300,
    )
    assert [port.name for port in info.outputs] == [
        "last_hidden_state",
        "pooler_output",
        "sentence_embedding",
    ]
    assert info.output("sentence_embedding") == Port("sentence_embedding", "f32", "sequences", 32)
    assert info.labels == ()


def test_info_describes_a_classifier(tmp_path: Path) -> None:
    path = make_bert_checkpoint(tmp_path, "classification", problem_type="multi_label_classification")
    info = import_model(path).info
    assert (info.architecture, info.task) == ("BertForSequenceClassification", "classification")
    assert (info.labels, info.problem_type) == (("negative", "positive"), "multi_label_classification")
    assert "pooling" not in info.facts and info.output("logits") == Port("logits", "f32", "sequences", 2)


def test_a_plain_encoder_gets_mean_pooling_as_sentence_transformers_gives_it(tmp_path: Path) -> None:
    info = import_model(make_bert_checkpoint(tmp_path)).info
    assert (info.facts["pooling"], info.facts["normalize_embeddings"]) == ("mean", False)


def test_labels_default_to_two_as_in_transformers(tmp_path: Path) -> None:
    path = make_bert_checkpoint(tmp_path, "classification")
    _edit_json(path / "config.json", id2label=..., label2id=...)
    assert import_model(path).info.labels == ("LABEL_0", "LABEL_1")


@pytest.mark.parametrize(
    "config",
    [
        {"id2label": {"1": "b", "0": "a", "2": "c"}},
        {"label2id": {"c": 2, "a": 0, "b": 1}},
        {"label2id": {"c": "2", "a": "0", "b": "1"}, "num_labels": 3},
        {"id2label": {"0": "a", "1": "b", "2": "c"}, "label2id": {"LABEL_0": 0}},
    ],
)
def test_labels_come_in_any_order_and_from_either_table(config: dict[str, Any], tmp_path: Path) -> None:
    three = {str(number): "any" for number in range(3)}
    path = make_bert_checkpoint(tmp_path, "classification", id2label=three)
    _edit_json(path / "config.json", **{"id2label": ..., "label2id": ..., **config})
    assert import_model(path).info.labels == ("a", "b", "c")


def test_the_number_of_labels_alone_names_them_as_transformers_does(tmp_path: Path) -> None:
    path = make_bert_checkpoint(tmp_path, "classification", id2label={"0": "score"})
    _edit_json(path / "config.json", id2label=..., label2id=..., num_labels=1)
    assert import_model(path).info.labels == ("LABEL_0",)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"label2id": {"a": 0, "b": 2}}, "id2label must map"),
        ({"label2id": {"a": 0, "b": 0}}, "two labels the same number"),
        ({"label2id": {"a": 0, "b": 1}, "num_labels": 3}, "num_labels is 3, label2id has 2 labels"),
        ({"id2label": ["a", "b"]}, "id2label must map"),
        ({"id2label": {}}, "id2label must map"),
        ({"num_labels": 0}, "num_labels is 0"),
    ],
)
def test_labels_that_make_no_sense_are_refused(config: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = make_bert_checkpoint(tmp_path, "classification")
    _edit_json(path / "config.json", **{"id2label": ..., "label2id": ..., **config})
    with pytest.raises(CheckpointError, match=message):
        import_model(path)


def test_provenance_names_every_file_with_its_hash(tmp_path: Path) -> None:
    source = import_model(make_bert_checkpoint(tmp_path / "tiny", shards=2)).source
    assert source["name"] == "tiny"
    assert {"config.json", "tokenizer.json", "model-00002-of-00002.safetensors"} <= set(source["files"])
    assert all(len(digest) == 64 for digest in source["files"].values())


@pytest.mark.parametrize(
    ("sentence_limit", "tokenizer_limit", "expected"),
    [(None, 512, 64), (None, 40, 40), (None, 10**30, 64), (None, ..., 64), (48, 40, 48), (512, 40, 64)],
)
def test_max_seq_length(
    sentence_limit: int | None, tokenizer_limit: Any, expected: int, tmp_path: Path
) -> None:
    path = make_bert_checkpoint(tmp_path, max_seq_length=sentence_limit)
    _edit_json(path / "tokenizer_config.json", model_max_length=tokenizer_limit)
    assert import_model(path).info.max_seq_length == expected


@pytest.mark.parametrize(("limit", "expected"), [(..., 30), (40, 40)])
def test_max_len_is_the_old_name_of_model_max_length(limit: Any, expected: int, tmp_path: Path) -> None:
    path = make_bert_checkpoint(tmp_path)
    _edit_json(path / "tokenizer_config.json", model_max_length=limit, max_len=30)
    assert import_model(path).info.max_seq_length == expected


def test_names_with_prefix_and_old_layer_norm_names_are_understood(tmp_path: Path) -> None:
    plain = make_bert_checkpoint(tmp_path / "plain")
    prefixed = make_bert_checkpoint(tmp_path / "prefixed", prefix="bert.", old_names=True)
    assert _constants_equal(plain, prefixed)


def test_tensors_that_the_model_does_not_use_are_ignored(tmp_path: Path) -> None:
    path = make_bert_checkpoint(tmp_path)
    tensors = bert_tensors(DEFAULT_CONFIG, "embedding")
    write_safetensors(path / "model.safetensors", {**tensors, "cls.predictions.bias": np.zeros(300)})
    assert "cls.predictions.bias" not in import_model(path).graph.constants


def test_the_transformer_may_live_in_a_subfolder(tmp_path: Path) -> None:
    path = make_bert_checkpoint(tmp_path / "model", pooling="max", max_seq_length=20)
    inner = path / "0_Transformer"
    inner.mkdir()
    for file in [p for p in path.iterdir() if p.is_file() and p.name != "modules.json"]:
        file.rename(inner / file.name)
    modules = json.loads((path / "modules.json").read_text())
    modules[0]["path"] = "0_Transformer"
    write_json(path / "modules.json", modules)
    info = import_model(path).info
    assert (info.facts["pooling"], info.max_seq_length) == ("max", 20)
    assert info.name == tmp_path.name


def test_a_sentence_model_may_be_saved_with_another_head(tmp_path: Path) -> None:
    path = make_bert_checkpoint(tmp_path, pooling="mean", architectures=["BertForMaskedLM"], prefix="bert.")
    assert import_model(path).info.architecture == "BertModel"


def _wrong_shape(path: Path) -> None:
    tensors = bert_tensors(DEFAULT_CONFIG, "embedding")
    tensors["pooler.dense.bias"] = np.zeros(31, np.float32)
    write_safetensors(path / "model.safetensors", tensors)


def _drop_tensors(path: Path) -> None:
    tensors = bert_tensors(DEFAULT_CONFIG, "embedding")
    del tensors["encoder.layer.1.output.dense.bias"], tensors["embeddings.LayerNorm.weight"]
    write_safetensors(path / "model.safetensors", tensors)


def _as_pickle(path: Path) -> None:
    (path / "model.safetensors").rename(path / "pytorch_model.bin")


PROBLEMS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no config": (lambda p: (p / "config.json").unlink(), "config.json is missing in"),
    "damaged config": (lambda p: (p / "config.json").write_text("{"), "config.json is not valid JSON"),
    "config is a list": (lambda p: (p / "config.json").write_text("[]"), "config.json must hold an object"),
    "no tokenizer": (lambda p: (p / "tokenizer.json").unlink(), "tokenizer.json is missing.*AutoTokenizer"),
    "damaged tokenizer": (lambda p: write_json(p / "tokenizer.json", {}), "is not a tokenizer"),
    "no weights": (
        lambda p: (p / "model.safetensors").unlink(),
        "model.safetensors is missing in .*, which holds config.json, tokenizer.json, tok",
    ),
    "no tensors in a pickle": (
        _as_pickle,
        "pytorch_model.bin cannot be read by PyTorch without running code",
    ),
    "missing tensors": (
        _drop_tensors,
        "missing tensors: embeddings.LayerNorm.weight, encoder.layer.1.output.dense.bias",
    ),
    "wrong shape": (_wrong_shape, r"pooler.dense.bias is \[31\], expected \[32\]"),
    "unknown family": (
        lambda p: _edit_json(p / "config.json", model_type="llama", architectures=["LlamaForCausalLM"]),
        "model_type 'llama'.*not supported. Supported are BertModel, ",
    ),
    "unknown class": (
        lambda p: _edit_json(p / "config.json", architectures=["BertLMHeadModel"]),
        r"\['BertLMHeadModel'\], which is not supported",
    ),
    "label gap": (
        lambda p: _edit_json(
            p / "config.json", architectures=["BertForTokenClassification"], id2label={"0": "a", "2": "b"}
        ),
        "id2label must map",
    ),
    "label that is no Unicode": (
        lambda p: (p / "config.json").write_text(r'{"id2label": {"0": "\ud800"}}'),
        "config.json holds text that is no Unicode",
    ),
    "a billion layers": (
        lambda p: _edit_json(p / "config.json", num_hidden_layers=10**9),
        "more than 100000 tensors: check its numbers of layers",
    ),
    "bad length": (
        lambda p: _edit_json(p / "tokenizer_config.json", model_max_length="long"),
        "model_max_length is 'long'",
    ),
    "length not a number": (
        lambda p: _edit_json(p / "tokenizer_config.json", model_max_length=float("nan")),
        "model_max_length is nan",
    ),
}


@pytest.mark.parametrize("case", PROBLEMS)
def test_a_folder_that_cannot_be_read_is_refused_with_the_reason(case: str, tmp_path: Path) -> None:
    break_it, message = PROBLEMS[case]
    path = make_bert_checkpoint(tmp_path)
    break_it(path)
    with pytest.raises(CheckpointError, match=message):
        import_model(path)


def test_a_path_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no folder"):
        import_model(tmp_path / "nothing")
    with pytest.raises(CheckpointError, match=r"there is no folder '\./a/b/c'|there is no folder 'a/b/c'"):
        import_model("./a/b/c")
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="is a file, expected a model folder"):
        import_model(tmp_path / "file")


def test_a_task_that_is_none_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    path = make_bert_checkpoint(tmp_path / "tiny")
    with pytest.raises(CheckpointError, match="task is 'vectors', expected one of embedding, classification"):
        import_model(path, task="vectors")
