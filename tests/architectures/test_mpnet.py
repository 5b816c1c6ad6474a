"""MPNet's bias by distance: its buckets, where it is stored, and what it asks of callers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bertc
from bertc.architectures import mpnet
from bertc.artifact.reader import open_artifact
from bertc.errors import CheckpointError, InputError
from bertc.frontends.huggingface import import_model
from tests.support.batches import padded_batch
from tests.support.hf_checkpoints import load_fp32, save_checkpoint

Array = np.ndarray[Any, Any]
TABLE = "encoder.relative_attention_bias.weight"
TOLERANCE = 5e-5


def test_buckets_of_distances_are_those_of_transformers() -> None:
    torch = pytest.importorskip("torch")
    modeling = pytest.importorskip("transformers.models.mpnet.modeling_mpnet")
    distances = np.arange(-600, 601)
    expected = modeling.MPNetEncoder.relative_position_bucket(torch.from_numpy(distances)).numpy()
    found = mpnet.by_distance(np.stack([np.arange(32), np.arange(32) + 100], axis=1))
    reach = found.shape[1] // 2
    clipped = np.clip(distances, -reach, reach) + reach
    np.testing.assert_array_equal(found[:, clipped], [expected, expected + 100])
    assert (found[:, 0] != found[:, 1]).all() and (found[:, -1] != found[:, -2]).all()


@pytest.mark.native
def test_texts_far_longer_than_the_farthest_bucket_equal_transformers(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    path = save_checkpoint(tmp_path / "model", "MPNetModel", max_position_embeddings=700)
    model = transformers.MPNetModel.from_pretrained(path).eval()
    batch = padded_batch(np.random.default_rng(0), [640, 300, 91, 2], 300, "right")
    with torch.no_grad():
        given = {"attention_mask": torch.from_numpy(batch.attention_mask)}
        expected = model(torch.from_numpy(batch.input_ids), **given).last_hidden_state.numpy()
    found = load_fp32(path)(batch.input_ids, batch.attention_mask).last_hidden_state
    kept = batch.mask.astype(bool)
    assert found is not None
    assert np.abs(found[kept] - expected[kept]).max() <= TOLERANCE * np.abs(expected[kept]).max()


@pytest.mark.parametrize("dtype", ["fp32", "int8"])
def test_all_layers_read_one_bias_which_a_reader_must_know(dtype: str, tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "model", "MPNetModel", num_hidden_layers=3)
    executable = open_artifact(bertc.compile(path, tmp_path / "x.bertc", dtype=dtype).path).executable
    steps = [step for step in executable.program.steps if step.op == "attention"]
    assert [step.inputs["distance_bias"] for step in steps] == ["distance_bias"] * 3
    assert executable.tensors["distance_bias"].array.shape == (2, 224)
    assert TABLE not in executable.tensors
    assert "attention.distance_bias" in executable.program.features


@pytest.mark.parametrize("masks", [[[1, 0, 1, 1]], [[1, 1, 1, 1], [0, 1, 0, 1]]])
def test_a_mask_with_gaps_does_not_tell_distances(masks: list[list[int]], tmp_path: Path) -> None:
    encoder = load_fp32(save_checkpoint(tmp_path / "model", "MPNetModel"))
    with pytest.raises(InputError, match="by the distance between tokens: take them out of input_ids"):
        encoder(np.full_like(masks, 7), masks)


def test_more_buckets_are_ignored_and_fewer_refused(tmp_path: Path) -> None:
    """Those of a config count for the shape of the table alone, as in transformers."""
    ids = np.arange(5, 65).reshape(2, 30)
    first = load_fp32(save_checkpoint(tmp_path / "32", "MPNetModel"))
    path = save_checkpoint(tmp_path / "40", "MPNetModel", relative_attention_num_buckets=40)
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    with torch.no_grad():
        model = transformers.MPNetModel.from_pretrained(path).eval()
        expected = model(torch.from_numpy(ids)).last_hidden_state.numpy()
    found = load_fp32(path)(ids).last_hidden_state
    assert found is not None and np.abs(found - expected).max() <= TOLERANCE * np.abs(expected).max()
    assert first.info.facts["relative_attention_num_buckets"] == 32
    few = save_checkpoint(tmp_path / "16", "MPNetModel", relative_attention_num_buckets=16)
    with pytest.raises(CheckpointError, match="relative_attention_num_buckets is 16, expected an integer fr"):
        import_model(few)


def test_a_table_that_is_missing_or_misshaped_is_listed_with_the_others(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    safetensors = pytest.importorskip("safetensors.torch")
    path = save_checkpoint(tmp_path / "model", "MPNetModel")
    tensors = safetensors.load_file(path / "model.safetensors")
    tensors["embeddings.LayerNorm.bias"] = torch.zeros(3)
    for table, message in (
        (None, rf"missing tensors: {TABLE}\. tensors whose shapes .*LayerNorm\.bias is \[3\]"),
        (torch.zeros(32, 3), rf"{TABLE} is \[32, 3\], expected \[32, 2\]"),
    ):
        tensors.pop(TABLE, None)
        changed = tensors if table is None else {**tensors, TABLE: table}
        safetensors.save_file(changed, path / "model.safetensors", {"format": "pt"})
        with pytest.raises(CheckpointError, match=message):
            import_model(path)


def test_positions_count_from_2_whatever_token_pads(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "model", "MPNetModel", pad_token_id=0)
    assert json.loads((path / "config.json").read_text("utf-8"))["pad_token_id"] == 0
    assert load_fp32(path).info.max_seq_length == 64
