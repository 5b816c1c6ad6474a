"""DeBERTa's scores by distance in the spellings of its versions, and what of its configs is not supported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bertc
from bertc import passes
from bertc.architectures.disentangled import by_distance
from bertc.artifact.reader import open_artifact
from bertc.errors import CheckpointError
from bertc.frontends.huggingface import import_model
from tests.support.batches import MASKS, padded_batch
from tests.support.hf_checkpoints import load_fp32, save_checkpoint

Array = np.ndarray[Any, Any]
TOLERANCE = 5e-5
V2, V1 = "DebertaV2Model", "DebertaModel"
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "v3": (
        V2,
        {
            "position_buckets": 256,
            "max_position_embeddings": 512,
            "share_att_key": True,
            "position_biased_input": False,
            "pos_att_type": "p2c|c2p",
        },
    ),
    "v2, each distance": (
        V2,
        {"position_buckets": -1, "max_relative_positions": 40, "norm_rel_ebd": "none", "type_vocab_size": 2},
    ),
    "v2, narrow tables": (V2, {"embedding_size": 20, "pos_att_type": ["c2p"]}),
    "v2, one term": (V2, {"max_relative_positions": 24, "pos_att_type": ["p2c"], "position_buckets": 32}),
    "v2, no distances": (V2, {"relative_attention": False, "pos_att_type": ["c2p"]}),
    "v1": (V1, {"position_biased_input": False, "max_relative_positions": 30}),
    "v1, one term": (V1, {"pos_att_type": "p2c", "embedding_size": 20}),
    "v1, no distances": (V1, {"relative_attention": False, "type_vocab_size": 2}),
}
LONG = {"max_position_embeddings": 720}


def _transformers(path: Path, class_name: str, **arrays: Array) -> Any:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    model = getattr(transformers, class_name).from_pretrained(path, dtype=torch.float32).eval()
    with torch.no_grad():
        return model(**{name: torch.from_numpy(array) for name, array in arrays.items()})


@pytest.mark.native
@pytest.mark.parametrize("variant", VARIANTS)
def test_scores_by_distance_equal_transformers_for_any_mask(variant: str, tmp_path: Path) -> None:
    class_name, options = VARIANTS[variant]
    path = save_checkpoint(tmp_path / "model", class_name, **{**LONG, **options})
    encoder, rng = load_fp32(path), np.random.default_rng(0)
    for kind in [kind for kind in MASKS if kind not in ("none", "empty row")]:
        batch = padded_batch(rng, [1, 17, 100, 300], 300, kind)
        found = encoder(batch.input_ids, batch.attention_mask).last_hidden_state
        arrays = {"input_ids": batch.input_ids, "attention_mask": np.asarray(batch.mask)}
        expected = _transformers(path, class_name, **arrays).last_hidden_state.numpy()
        kept = batch.mask.astype(bool)
        assert np.abs(found[kept] - expected[kept]).max() <= TOLERANCE * np.abs(expected[kept]).max(), kind


@pytest.mark.parametrize(("span", "farthest"), [(256, 512), (32, 128), (4, 4), (20, 12), (512, 0), (1, 0)])
def test_buckets_are_those_of_transformers(span: int, farthest: int) -> None:
    torch = pytest.importorskip("torch")
    modeling = pytest.importorskip("transformers.models.deberta_v2.modeling_deberta_v2")
    before = torch.arange(1500, -1501, -1)
    if farthest:
        before = modeling.make_log_bucket_position(before, span, farthest).long()
    expected = torch.clamp(before + span, 0, 2 * span - 1).numpy()
    rows, buckets = by_distance(span, farthest)
    reach = buckets.shape[1] // 2
    found = rows[buckets[0, np.clip(np.arange(-1500, 1501), -reach, reach) + reach]]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.native
@pytest.mark.parametrize(
    ("class_name", "options"),
    [
        ("DebertaV2ForMaskedLM", {"legacy": False}),
        ("DebertaForMaskedLM", {"legacy": False, "hidden_act": "relu"}),
        ("DebertaV2ForSequenceClassification", {"pooler_hidden_act": "tanh"}),
        ("DebertaV2ForMultipleChoice", {"pooler_hidden_act": "relu"}),
    ],
)
def test_heads_are_as_the_config_says(class_name: str, options: dict[str, Any], tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "model", class_name, **options)
    arrays = {"input_ids": np.arange(5, 45).reshape(2, 20)}
    found = load_fp32(path)(**arrays).logits
    if class_name.endswith("MultipleChoice"):
        arrays = {name: array[:, None] for name, array in arrays.items()}
    expected = _transformers(path, class_name, **arrays).logits.numpy()
    assert np.abs(found - expected).max() <= TOLERANCE * np.abs(expected).max()


def test_the_dense_layer_of_a_classifier_is_no_pooler_of_the_encoder(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "model", "DebertaV2ForSequenceClassification")
    assert "pooler_output" not in import_model(path, task="embedding").graph.outputs


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"conv_kernel_size": 3}, "conv_kernel_size is set: a convolution behind the first layer"),
        ({"talking_head": True}, "talking_head is set"),
        ({"pos_att_type": ["c2p", "p2p"]}, r"pos_att_type is \['c2p', 'p2p'\], expected some of c2p, p2c"),
        ({"pos_att_type": "c2p|c2p"}, "pos_att_type is 'c2p|c2p'"),
        ({"position_buckets": 7}, "position_buckets is 7, expected an even number from 4 to 128"),
        ({"position_buckets": 130}, "position_buckets is 130"),
        ({"norm_rel_ebd": "batch_norm"}, "norm_rel_ebd 'batch_norm' is not supported"),
        ({"pooler_hidden_size": 8}, "pooler_hidden_size is 8, only 32 is supported"),
        ({"attention_head_size": 8}, "attention_head_size is 8, only 16 is supported"),
        ({"max_relative_positions": 2**40}, "max_relative_positions is"),
        ({"position_buckets": 64}, "encoder.rel_embeddings.weight is"),
    ],
)
def test_what_is_not_supported_is_named(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "model", V2)
    config = json.loads((path / "config.json").read_text("utf-8"))
    (path / "config.json").write_text(json.dumps({**config, **changes}), "utf-8")
    with pytest.raises(CheckpointError, match=message):
        import_model(path)


def test_no_layer_projects_distances_when_it_runs(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "model", V2, num_hidden_layers=1)
    graph = passes.fuse(import_model(path).graph)
    assert [node.op for node in graph.nodes].count("linear") == 4
    (attention,) = (node for node in graph.nodes if node.op == "attention")
    assert {"buckets", "position_keys", "position_queries"} <= attention.inputs.keys()
    assert not any("pos_key_proj" in name or "rel_embeddings" in name for name in graph.constants)


@pytest.mark.native
@pytest.mark.parametrize("class_name", [V1, V2])
def test_a_certificate_in_8_bits(class_name: str, tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "model", class_name)
    artifact = bertc.compile(path, tmp_path / "model.bertc", dtype="int8")
    opened = open_artifact(artifact.path)
    steps = {step.name: step for step in opened.manifest.program.steps}
    assert steps["encoder.layer.0.attention.self.qkv"].op == "linear_int8"
    assert "attention.buckets" in opened.manifest.program.features
    model = bertc.load(artifact.path)
    exact = load_fp32(path)
    texts = ["a man is playing guitar in the house", "the small red cat", "london is not very big " * 4]
    ours, theirs = (each.encode(texts, normalize_embeddings=True) for each in (model, exact))
    assert (ours * theirs).sum(axis=1).min() > 0.995
