"""What families have beside BERT's layers: shared tensors, more tables, other sizes, all at once refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bertc
from bertc.architectures import FAMILIES, ConfigReader
from bertc.artifact.reader import open_artifact
from bertc.errors import CheckpointError
from bertc.frontends.huggingface import import_model
from bertc.frontends.model_class import find_class, supported_classes
from tests.support.batches import padded_batch
from tests.support.hf_checkpoints import SMALL, load_fp32, save_checkpoint

Array = np.ndarray[Any, Any]
TOLERANCE = 5e-5
ENCODERS = [each.name for each in supported_classes() if each.head.name == "embedding"]
SIZES = {
    "heads of 8": {"hidden_size": 24, "num_attention_heads": 3},
    "heads of 11, odd width": {"hidden_size": 33, "num_attention_heads": 3, "intermediate_size": 77},
    "a head of 130": {"hidden_size": 130, "num_attention_heads": 1},
    "heads of 256": {"hidden_size": 512, "num_attention_heads": 2, "num_hidden_layers": 1},
    "a token type": {"type_vocab_size": 1},
    "long": {"max_position_embeddings": 1200, "num_hidden_layers": 1},
}


def _hidden(path: Path, class_name: str, ids: Array, **arrays: Array) -> Array:
    """The last hidden state by transformers."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    model = getattr(transformers, class_name).from_pretrained(path, dtype=torch.float32).eval()
    with torch.no_grad():
        given = {name: torch.from_numpy(array) for name, array in arrays.items()}
        return np.asarray(model(torch.from_numpy(ids), **given).last_hidden_state)


@pytest.mark.native
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("class_name", ["BertModel", "XLMRobertaXLModel"])
def test_any_size_of_head_and_table(class_name: str, size: str, tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "model", class_name, **SIZES[size])
    encoder = load_fp32(path)
    lengths = [3, 47] if size != "long" else [1100]
    batch = padded_batch(np.random.default_rng(0), lengths, 300, "right")
    expected = _hidden(path, class_name, batch.input_ids, attention_mask=batch.attention_mask)
    found = encoder(batch.input_ids, batch.attention_mask).last_hidden_state
    kept = batch.mask.astype(bool)
    assert np.abs(found[kept] - expected[kept]).max() <= TOLERANCE * np.abs(expected).max()


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("dtype", ["fp32", "int8"])
def test_layers_that_share_tensors_are_stored_once(dtype: str, groups: int, tmp_path: Path) -> None:
    sizes = {}
    for layers in (2, 6):
        config = {"num_hidden_layers": layers, "num_hidden_groups": groups, "embedding_size": 24}
        path = save_checkpoint(tmp_path / f"{layers}", "AlbertModel", **config)
        artifact = bertc.compile(path, tmp_path / f"{layers}.bertc", dtype=dtype)
        weights = open_artifact(artifact.path).executable.tensors
        sizes[layers] = sum(tensor.array.nbytes for tensor in weights.values())
        assert len([n for n in weights if "ffn_output" in n and n.endswith("weight")]) == groups
    vector = 4 * SMALL["hidden_size"]  # a group's first layer may shift what comes from another group
    assert sizes[6] - sizes[2] <= (0 if dtype == "fp32" else 4 * vector)


def test_shared_layers_in_groups_of_several(tmp_path: Path) -> None:
    config = {
        "num_hidden_layers": 4,
        "num_hidden_groups": 2,
        "inner_group_num": 2,
        "embedding_size": 20,
    }
    path = save_checkpoint(tmp_path / "model", "AlbertModel", **config)
    ids = np.arange(5, 45).reshape(2, 20)
    expected = _hidden(path, "AlbertModel", ids)
    found = load_fp32(path)(ids).last_hidden_state
    assert found is not None and np.abs(found - expected).max() <= TOLERANCE * np.abs(expected).max()


def test_task_types_of_ernie(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "model", "ErnieModel", use_task_id=True, task_type_vocab_size=4)
    encoder, rng = load_fp32(path), np.random.default_rng(1)
    ids, tasks = np.arange(5, 45).reshape(2, 20), rng.integers(0, 4, (2, 20))
    for given in ({}, {"task_type_ids": tasks}):
        expected = _hidden(path, "ErnieModel", ids, **given)
        found = encoder(ids, **given).last_hidden_state
        assert found is not None and np.abs(found - expected).max() <= TOLERANCE * np.abs(expected).max()
    with pytest.raises(bertc.InputError, match="task_type_ids"):
        encoder(ids, task_type_ids=tasks + 1)
    without = load_fp32(save_checkpoint(tmp_path / "without", "ErnieModel"))
    with pytest.raises(bertc.InputError, match="no input 'task_type_ids'"):
        without(ids, task_type_ids=tasks)


@pytest.mark.parametrize("class_name", ENCODERS)
def test_what_is_wrong_with_a_config_is_listed_at_once(class_name: str, tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "model", class_name)
    model = next(each for each in supported_classes() if each.name == class_name)
    keys = {key: model.family.config_keys.get(key, key) for key in ("hidden_size", "hidden_act")}
    config = json.loads((path / "config.json").read_text("utf-8"))
    config.update({keys["hidden_size"]: -1, keys["hidden_act"]: "laplace", "is_decoder": True})
    del config["vocab_size"]
    (path / "config.json").write_text(json.dumps(config), "utf-8")
    with pytest.raises(CheckpointError) as caught:
        import_model(path)
    message = str(caught.value)
    for problem in (*keys.values(), "vocab_size is missing", "is_decoder is set", "'laplace'"):
        assert problem in message


def test_sizes_that_contradict_each_other_are_refused() -> None:
    albert = next(family for family in FAMILIES if "albert" in family.model_types)
    reader = ConfigReader({**SMALL, "embedding_size": 8, "num_hidden_groups": 3})
    albert.read_config(reader)
    assert reader.problems == ["num_hidden_groups 3 is more than the 2 layers"]


def test_a_class_that_is_not_there_is_answered_by_the_nearest() -> None:
    config = {"model_type": "distilbert", "architectures": ["DistilBertForSequenceClassifier"]}
    with pytest.raises(CheckpointError, match="Supported are DistilBertForSequenceClassification, "):
        find_class(config)
    with pytest.raises(CheckpointError, match="Supported are DistilBertModel, "):
        find_class({"model_type": "distillbert", "architectures": ["DistillBertModel"]})


def test_hidden_states_and_a_discriminator_of_electra(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "model", "ElectraForPreTraining", embedding_size=20)
    encoder = load_fp32(path)
    assert isinstance(encoder, bertc.ReplacedTokenDetector)
    found = encoder.find_replaced(["a quick brown fox", ""], threshold=0.0)
    logits = encoder(np.asarray([encoder.tokenizer(["a quick brown fox"]).encodings[0].ids])).logits
    assert logits is not None
    expected = 1 / (1 + np.exp(-logits[0, 1:-1]))
    np.testing.assert_allclose([each["score"] for each in found[0]], expected, rtol=1e-5)
    assert found[1] == []
    text = "a quick brown fox"
    first = found[0][0]
    assert text[first["start"] : first["end"]] == "a"
    assert encoder.find_replaced(text, threshold=1.1) == []
