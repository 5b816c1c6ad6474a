"""Checkpoints as people have them: pickles, prefixes, other heads, tensors that nobody wants."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bertc
from bertc.errors import CheckpointError
from bertc.frontends.huggingface import import_model
from tests.support.hf_checkpoints import save_checkpoint
from tests.support.tiny_models import (
    DEFAULT_CONFIG,
    bert_tensors,
    make_bert_checkpoint,
    write_json,
    write_weights,
)

Array = np.ndarray[Any, Any]
Save = Callable[[Any, Path, dict[str, Any]], None]


def constants(path: Path, **options: Any) -> dict[str, Array]:
    return {name: each.array for name, each in import_model(path, **options).graph.constants.items()}


def assert_equal_constants(found: dict[str, Array], expected: dict[str, Array]) -> None:
    assert set(found) == set(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def _sharded(torch: Any, path: Path, tensors: dict[str, Any]) -> None:
    names = list(tensors)
    shards = {"pytorch_model-00001-of-00002.bin": names[::2], "pytorch_model-00002-of-00002.bin": names[1::2]}
    for file, part in shards.items():
        torch.save({name: tensors[name] for name in part}, path / file)
    weight_map = {name: file for file, part in shards.items() for name in part}
    write_json(path / "pytorch_model.bin.index.json", {"weight_map": weight_map})


PICKLES: dict[str, Save] = {
    "one file": lambda torch, path, tensors: torch.save(tensors, path / "pytorch_model.bin"),
    "sharded": _sharded,
    "before the zip format": lambda torch, path, tensors: torch.save(
        tensors, path / "pytorch_model.bin", _use_new_zipfile_serialization=False
    ),
    "of a training script": lambda torch, path, tensors: torch.save(
        {"epoch": 3, "state_dict": {f"module.{name}": each for name, each in tensors.items()}},
        path / "model.pt",
    ),
    "of parameters": lambda torch, path, tensors: torch.save(
        {name: torch.nn.Parameter(each) for name, each in tensors.items()}, path / "pytorch_model.bin"
    ),
    "of doubles": lambda torch, path, tensors: torch.save(
        {name: each.double() for name, each in tensors.items()}, path / "pytorch_model.bin"
    ),
}


@pytest.mark.parametrize("kind", PICKLES)
def test_pickles_are_read_where_pytorch_is_installed(kind: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = make_bert_checkpoint(tmp_path / "tiny", "classification")
    expected = constants(path)
    (path / "model.safetensors").unlink()
    config = json.loads((path / "config.json").read_text())
    tensors = bert_tensors(config, "classification")
    PICKLES[kind](torch, path, {name: torch.from_numpy(array) for name, array in tensors.items()})
    assert_equal_constants(constants(path), expected)
    assert any(name.endswith((".bin", ".pt")) for name in import_model(path).source["files"])


class _Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("pickle-ran-code"),))


def test_a_pickle_runs_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    path = make_bert_checkpoint(tmp_path / "tiny")
    (path / "model.safetensors").unlink()
    torch.save({"x": _Evil()}, path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="cannot be read by PyTorch without running code in it"):
        import_model(path)
    assert not Path("pickle-ran-code").exists()
    for content, message in (([1], "holds no mapping"), ({"a": 1}, "holds no mapping")):
        torch.save(content, path / "pytorch_model.bin")
        with pytest.raises(CheckpointError, match=message):
            import_model(path)
    (path / "pytorch_model.bin").write_bytes(b"\x80\x02cut off")
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin cannot be read"):
        import_model(path)


def test_without_pytorch_there_is_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_bert_checkpoint(tmp_path / "tiny")
    (path / "model.safetensors").rename(path / "pytorch_model.bin")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(
        CheckpointError, match=r"pickle \(pytorch_model.bin\). Install PyTorch.*or convert it"
    ):
        import_model(path)


@pytest.mark.parametrize("prefix", ["bert.", "module.", "_orig_mod.", "model.", "encoder.", "a.b.bert."])
@pytest.mark.parametrize("head", ["embedding", "classification"])
def test_any_prefix_is_found_by_matching(prefix: str, head: str, tmp_path: Path) -> None:
    expected = constants(make_bert_checkpoint(tmp_path / "plain", head))
    assert_equal_constants(constants(make_bert_checkpoint(tmp_path / "x", head, prefix=prefix)), expected)


def test_other_heads_are_left_out_with_a_note(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "model", "BertForPreTraining")
    model = import_model(path, task="embedding")
    assert (model.info.architecture, model.info.facts["pooling"]) == ("BertModel", "mean")
    assumed, left_out = model.notes
    assert assumed.startswith("the checkpoint (BertForPreTraining) does not say how to make vectors")
    assert left_out == (
        "BertModel has no use for tensors of the checkpoint: cls.predictions, cls.seq_relationship"
    )
    artifact = bertc.compile(path, tmp_path / "x.bertc", dtype="fp32", task="embedding")
    assert set(model.notes) <= set(artifact.certificate.notes)
    assert bertc.load(artifact.path).encode("a text").shape == (32,)
    masked = import_model(path, task="masked_lm")
    assert masked.info.architecture == "BertForMaskedLM" and list(masked.graph.outputs) == ["logits"]
    with pytest.raises(CheckpointError, match=r"missing tensors: qa_outputs\.weight, qa_outputs\.bias"):
        import_model(path, task="question_answering")


def test_more_layers_than_the_config_says_are_told(tmp_path: Path) -> None:
    path = make_bert_checkpoint(tmp_path, num_hidden_layers=2)
    write_json(
        path / "config.json", {**json.loads((path / "config.json").read_text()), "num_hidden_layers": 1}
    )
    with pytest.warns(UserWarning, match="has more layers than the 1 that config.json says"):
        model = import_model(path)
    assert model.notes[-1] == "BertModel has no use for tensors of the checkpoint: encoder.layer"


def test_buffers_are_no_weights(tmp_path: Path) -> None:
    path = make_bert_checkpoint(tmp_path)
    tensors = bert_tensors(json.loads((path / "config.json").read_text()), "embedding")
    write_weights(path, {**tensors, "embeddings.position_ids": np.arange(64, dtype=np.float32)})
    assert not any("no use" in note for note in import_model(path).notes)


def test_a_pooler_that_is_not_needed_may_hold_nan(tmp_path: Path) -> None:
    tensors = bert_tensors(DEFAULT_CONFIG, "embedding")
    tensors["pooler.dense.weight"][3, 5] = np.nan
    path = make_bert_checkpoint(tmp_path, pooling="mean")
    write_weights(path, tensors)
    model = import_model(path)
    assert list(model.graph.outputs) == ["last_hidden_state", "sentence_embedding"]
    assert model.notes[-1] == "BertModel has no use for tensors of the checkpoint: pooler.dense"
    write_json(path / "1_Pooling" / "config.json", {"pooling_mode": "pooler"})
    with pytest.raises(CheckpointError, match=r"'pooler\.dense\.weight' holds infinite numbers or NaN"):
        import_model(path)


def test_a_decoder_that_is_stored_wins_over_the_one_it_would_be_tied_to(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    path = save_checkpoint(tmp_path / "model", "BertForMaskedLM", tie_word_embeddings=False)
    found = constants(path)
    words = found["embeddings.word_embeddings.weight"]
    assert not np.array_equal(found["cls.predictions.decoder.weight"], words)
    tied = constants(save_checkpoint(tmp_path / "tied", "BertForMaskedLM"))
    np.testing.assert_array_equal(
        tied["cls.predictions.decoder.weight"], tied["embeddings.word_embeddings.weight"]
    )


def test_an_adapter_is_refused_with_the_advice_to_merge(tmp_path: Path) -> None:
    write_json(tmp_path / "adapter_config.json", {"base_model_name_or_path": "bert-base-uncased"})
    with pytest.raises(CheckpointError, match=r"adapter .* for bert-base-uncased.*merge_and_unload"):
        import_model(tmp_path)
