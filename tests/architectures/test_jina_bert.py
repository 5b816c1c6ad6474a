"""JinaBERT v2: slopes, long texts, gates, and folders whose code stays on the hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bertc
from bertc.architectures.jina_bert import alibi_slopes
from bertc.artifact.reader import open_artifact
from bertc.errors import CheckpointError, InputError
from bertc.frontends.huggingface import import_model
from tests.support import jina_bert
from tests.support.batches import padded_batch
from tests.support.hf_checkpoints import hf_class, load_fp32, save_checkpoint

TOLERANCE = 5e-5
NAME = "JinaBertModel"
CODE = {"AutoModel": "jinaai/jina-bert-implementation--modeling_bert.JinaBertModel"}


def _change(path: Path, **changes: Any) -> None:
    config = json.loads((path / "config.json").read_text("utf-8"))
    (path / "config.json").write_text(json.dumps({**config, **changes}), "utf-8")


def test_slopes_are_those_of_the_paper() -> None:
    np.testing.assert_array_equal(alibi_slopes(8), 2.0 ** -np.arange(1, 9))
    odd = [*2.0 ** -np.arange(1, 9), *2.0 ** -np.arange(0.5, 4)]
    np.testing.assert_allclose(alibi_slopes(12), odd, rtol=1e-7)
    for heads in range(1, 40):
        np.testing.assert_allclose(alibi_slopes(heads), jina_bert.slopes(heads), rtol=1e-7)


@pytest.mark.native
@pytest.mark.parametrize(
    "options",
    [
        {"num_attention_heads": 2},
        {"num_attention_heads": 3, "hidden_size": 36, "feed_forward_type": "reglu"},
        {"num_attention_heads": 3, "hidden_size": 48, "qk_post_norm": True},
    ],
)
def test_long_texts_equal_the_reference(options: dict[str, Any], tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = save_checkpoint(tmp_path / "model", NAME, max_position_embeddings=720, **options)
    model, encoder, rng = (
        hf_class(NAME).from_pretrained(path).eval(),
        load_fp32(path),
        np.random.default_rng(0),
    )
    for kind in ("right", "left"):
        batch = padded_batch(rng, [1, 40, 129, 700], 300, kind, types=2)
        arrays = (batch.input_ids, batch.attention_mask, batch.token_type_ids)
        with torch.no_grad():
            expected = model(*map(torch.from_numpy, arrays)).last_hidden_state.numpy()
        found, kept = encoder(*arrays).last_hidden_state, batch.mask.astype(bool)
        assert np.abs(found[kept] - expected[kept]).max() <= TOLERANCE * np.abs(expected[kept]).max(), kind
    with pytest.raises(InputError, match="by the distance between tokens"):
        encoder(np.full((1, 4), 7), [[1, 0, 1, 1]])


def test_a_folder_of_the_hub_is_read_and_its_code_is_not(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "model", "JinaBertForMaskedLM", max_position_embeddings=8192)
    _change(path, auto_map=CODE, emb_pooler="mean", model_max_length=8192)
    (path / "modeling_bert.py").write_text("raise SystemExit('code of the hub was run')", "utf-8")
    info = import_model(path, task="embedding").info
    assert (info.architecture, info.max_seq_length) == ("JinaBertModel", 8192)
    _change(path, architectures=["BertModel"])
    assert import_model(path).info.architecture == "JinaBertModel"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"feed_forward_type": "swiglu"},
            "feed_forward_type 'swiglu' is not supported, only original, geglu",
        ),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type 'relative_key'"),
    ],
)
def test_what_is_not_supported_is_named(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "model", NAME)
    _change(path, architectures=["BertModel"], **changes)
    with pytest.raises(CheckpointError, match=message):
        import_model(path)


@pytest.mark.native
@pytest.mark.parametrize("dtype", ["bf16", "int8"])
def test_a_certificate_in_fewer_bits(dtype: str, tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "model", NAME)
    opened = open_artifact(bertc.compile(path, tmp_path / "model.bertc", dtype=dtype).path)
    assert "attention.slopes" in opened.manifest.program.features
    assert opened.executable.tensors["slopes"].array[:2].tolist() == [2**-4, 2**-8]
    model, exact = bertc.load(tmp_path / "model.bertc"), load_fp32(path)
    texts = ["a man is playing guitar in the house", "the small red cat", "london is not very big " * 4]
    ours, theirs = (each.encode(texts, normalize_embeddings=True) for each in (model, exact))
    assert (ours * theirs).sum(axis=1).min() > 0.995
