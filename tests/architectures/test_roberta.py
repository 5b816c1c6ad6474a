from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bertc
from bertc.errors import CheckpointError
from bertc.frontends.huggingface import import_model
from bertc.ir import interpreter
from tests.support.batches import MASKS, padded_batch
from tests.support.tiny_models import make_tokenizer, write_json
from tests.support.transformers_model import call_transformers

TOLERANCE = 2e-5
"""Largest absolute difference to transformers in fp32 that the project allows."""

SMALL = {
    "vocab_size": 300,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 66,
    "type_vocab_size": 1,
}
CONFIGS: dict[str, dict[str, Any]] = {
    "default": {},
    "odd sizes": {"hidden_size": 60, "num_attention_heads": 5, "intermediate_size": 130},
    "other padding": {"pad_token_id": 4, "layer_norm_eps": 1e-5},
    "padding first": {"pad_token_id": 0, "hidden_act": "gelu_new"},
    "two token types": {"type_vocab_size": 2, "hidden_act": "relu", "num_hidden_layers": 1},
}
HEADS = {
    "embedding": "RobertaModel",
    "classification": "RobertaForSequenceClassification",
    "token_classification": "RobertaForTokenClassification",
}


def make_checkpoint(path: Path, head: str, **config: Any) -> Path:
    """A seeded checkpoint as ``transformers`` saves it, with weights large enough that errors show."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    settings = transformers.RobertaConfig(**{**SMALL, "num_labels": 3, "initializer_range": 0.2, **config})
    getattr(transformers, HEADS[head])(settings).save_pretrained(path)
    make_tokenizer().save(str(path / "tokenizer.json"))
    write_json(path / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast"})
    return path


@pytest.mark.native
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("config", CONFIGS)
def test_compiled_model_equals_transformers(config: str, head: str, tmp_path: Path) -> None:
    """Padded rows of every kind, padding tokens among them: positions count over what is not padding."""
    path = make_checkpoint(tmp_path / "model", head, **CONFIGS[config])
    encoder = bertc.load(bertc.compile(path, tmp_path / "x.bertc", dtype="fp32").path)
    assert encoder.info.architecture == HEADS[head]
    rng = np.random.default_rng(0)
    for kind in (each for each in MASKS if each != "empty row"):  # transformers gives those anything
        batch = padded_batch(rng, [1, 5, 20, 60], 300, kind, types=CONFIGS[config].get("type_vocab_size", 1))
        found = encoder(batch.input_ids, batch.attention_mask, batch.token_type_ids)
        expected = call_transformers(
            path,
            head,
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            token_type_ids=batch.token_type_ids,
        )
        for name, array in expected.items():
            ours = getattr(found, name)
            kept = np.s_[:] if array.ndim == 2 else batch.mask.astype(bool)
            if name == "pooler_output" or (head == "classification" and kind in ("left", "holes")):
                kept = batch.mask[:, 0].astype(bool)  # ours reads the first token that is there
            assert np.abs(ours[kept] - array[kept]).max(initial=0) <= TOLERANCE, (kind, name)


@pytest.mark.native
def test_graph_equals_the_compiled_model_without_positions(tmp_path: Path) -> None:
    """The reference target counts positions as the kernels do."""
    path = make_checkpoint(tmp_path / "model", "embedding")
    encoder = bertc.load(bertc.compile(path, tmp_path / "x.bertc", dtype="fp32").path)
    ids, cu_seqlens = np.arange(5, 45, dtype=np.int32), np.array([0, 7, 40], np.int32)
    expected = interpreter.run(import_model(path).graph, {"input_ids": ids, "cu_seqlens": cu_seqlens})
    for name, array in encoder.session.run(ids, cu_seqlens).items():
        np.testing.assert_allclose(array, expected[name], rtol=0, atol=TOLERANCE, err_msg=name)


def test_longest_sequence_leaves_room_for_the_first_position(tmp_path: Path) -> None:
    path = make_checkpoint(tmp_path / "model", "embedding")
    encoder = bertc.load(bertc.compile(path, tmp_path / "x.bertc").path)
    assert encoder.info.max_seq_length == 64
    encoder.session.run(np.full(64, 7, np.int32), np.array([0, 64], np.int32))
    with pytest.raises(bertc.InputError, match="65 tokens, but the model has positions for 64"):
        encoder.session.run(np.full(65, 7, np.int32), np.array([0, 65], np.int32))


def test_a_classifier_of_one_layer_is_told_by_its_missing_tensors(tmp_path: Path) -> None:
    path = make_checkpoint(tmp_path / "model", "token_classification")
    text = (path / "config.json").read_text().replace(HEADS["token_classification"], HEADS["classification"])
    (path / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"missing tensors: classifier\.dense\.weight, .*out_proj"):
        import_model(path)
