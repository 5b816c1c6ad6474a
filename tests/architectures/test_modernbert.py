"""ModernBERT's windows, positions and gates, and what its configs say in the spellings of their times."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bertc
from bertc import passes
from bertc.artifact.reader import open_artifact
from bertc.errors import CheckpointError
from bertc.frontends.huggingface import import_model
from tests.support.batches import MASKS, padded_batch
from tests.support.hf_checkpoints import load_fp32, save_checkpoint

TOLERANCE = 5e-5
LONG: dict[str, Any] = {"max_position_embeddings": 720, "num_hidden_layers": 4}
VARIANTS: dict[str, dict[str, Any]] = {
    "window of 16": {"local_attention": 16},
    "window of 128": {"local_attention": 128},
    "with all biases": {
        "local_attention": 16,
        "attention_bias": True,
        "mlp_bias": True,
        "norm_bias": True,
        "hidden_activation": "silu",
    },
    "layers named": {
        "local_attention": 33,
        "layer_types": ["sliding_attention"] * 3 + ["full_attention"],
        "rope_parameters": {
            "full_attention": {"rope_type": "linear", "factor": 4.0, "rope_theta": 50000.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 500.0},
        },
    },
}


def _transformers(path: Path, class_name: str, **arrays: np.ndarray[Any, Any]) -> Any:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    model = getattr(transformers, class_name).from_pretrained(path, dtype=torch.float32).eval()
    with torch.no_grad():
        return model(**{name: torch.from_numpy(array) for name, array in arrays.items()})


def _change(path: Path, **changes: Any) -> None:
    config = json.loads((path / "config.json").read_text("utf-8"))
    config = {key: value for key, value in {**config, **changes}.items() if value is not None}
    (path / "config.json").write_text(json.dumps(config), "utf-8")


@pytest.mark.native
@pytest.mark.parametrize("variant", VARIANTS)
def test_windows_equal_transformers_for_any_mask(variant: str, tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "model", "ModernBertModel", **LONG, **VARIANTS[variant])
    encoder, rng = load_fp32(path), np.random.default_rng(0)
    for kind in [kind for kind in MASKS if kind not in ("none", "empty row")]:
        batch = padded_batch(rng, [1, 40, 129, 700], 300, kind)
        found = encoder(batch.input_ids, batch.attention_mask).last_hidden_state
        arrays = {"input_ids": batch.input_ids, "attention_mask": np.asarray(batch.mask)}
        expected = _transformers(path, "ModernBertModel", **arrays).last_hidden_state.numpy()
        kept = batch.mask.astype(bool)
        assert np.abs(found[kept] - expected[kept]).max() <= TOLERANCE * np.abs(expected[kept]).max(), kind


@pytest.mark.native
def test_positions_that_callers_give_turn_but_windows_go_by_columns(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "model", "ModernBertModel", **LONG, local_attention=16)
    rng = np.random.default_rng(0)
    batch = padded_batch(rng, [50, 60], 300, "holes")
    positions = rng.integers(0, 700, batch.input_ids.shape)
    found = load_fp32(path)(batch.input_ids, batch.attention_mask, position_ids=positions).last_hidden_state
    arrays = {"input_ids": batch.input_ids, "attention_mask": np.asarray(batch.mask)}
    expected = _transformers(path, "ModernBertModel", **arrays, position_ids=positions)
    kept = batch.mask.astype(bool)
    difference = np.abs(found - expected.last_hidden_state.numpy())[kept]
    assert difference.max() <= TOLERANCE * np.abs(found).max()


@pytest.mark.native
@pytest.mark.parametrize("class_name", ["ModernBertForSequenceClassification", "ModernBertForMultipleChoice"])
def test_heads_pool_as_the_config_says(class_name: str, tmp_path: Path) -> None:
    options = {"classifier_pooling": "mean", "classifier_bias": True, "classifier_activation": "tanh"}
    path = save_checkpoint(tmp_path / "model", class_name, **options)
    batch = padded_batch(np.random.default_rng(0), [3, 20], 300, "right")
    found = load_fp32(path)(batch.input_ids, batch.attention_mask).logits
    arrays = {"input_ids": batch.input_ids, "attention_mask": np.asarray(batch.mask)}
    if class_name.endswith("MultipleChoice"):
        arrays = {name: array[:, None] for name, array in arrays.items()}
    expected = _transformers(path, class_name, **arrays).logits.numpy()
    assert np.abs(found - expected).max() <= TOLERANCE * np.abs(expected).max()


@pytest.mark.native
def test_a_masked_lm_without_a_bias(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "model", "ModernBertForMaskedLM", decoder_bias=False)
    ids = np.arange(5, 45).reshape(2, 20)
    found, expected = load_fp32(path)(ids).logits, _transformers(path, "ModernBertForMaskedLM", input_ids=ids)
    scale = np.abs(expected.logits.numpy()).max()
    assert np.abs(found - expected.logits.numpy()).max() <= TOLERANCE * scale


@pytest.mark.native
def test_configs_of_transformers_4_say_the_same(tmp_path: Path) -> None:
    bases = {"full_attention": 4000.0, "sliding_attention": 70.0}
    rope = {kind: {"rope_type": "default", "rope_theta": base} for kind, base in bases.items()}
    options = {"num_hidden_layers": 3, "local_attention": 8, "rope_parameters": rope}
    path = save_checkpoint(
        tmp_path / "model", "ModernBertModel", layer_types=[*reversed(bases), "full_attention"], **options
    )
    ids = np.arange(5, 45).reshape(1, 40)
    _change(path, layer_types=["full_attention", "sliding_attention", "full_attention"])
    expected = load_fp32(path)(ids).last_hidden_state
    _change(
        path,
        layer_types=None,
        rope_parameters=None,
        global_attn_every_n_layers=2,
        global_rope_theta=4000.0,
        local_rope_theta=70.0,
    )
    np.testing.assert_array_equal(load_fp32(path)(ids).last_hidden_state, expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"rope_parameters": {"full_attention": {"rope_type": "axial"}}},
            "rope_type 'axial' is not supported",
        ),
        ({"rope_parameters": {"full_attention": {"rope_theta": -1}}}, "rope_theta is -1"),
        ({"rope_parameters": [1]}, "rope_parameters is"),
        ({"layer_types": ["full_attention"]}, "layer_types is"),
        ({"layer_types": ["full_attention", "linear"]}, "layer_types is"),
        ({"max_position_embeddings": 2**40}, "max_position_embeddings is"),
        ({"hidden_size": 30}, "heads have 15 columns, which make no pairs"),
        ({"local_attention": 1}, "local_attention is 1"),
        ({"classifier_pooling": "max"}, "classifier_pooling 'max'"),
    ],
)
def test_what_is_not_supported_is_named(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "model", "ModernBertModel")
    _change(path, **changes)
    with pytest.raises(CheckpointError, match=message):
        import_model(path)


def test_a_layer_is_four_products_and_its_parts_have_the_names_of_their_modules(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "model", "ModernBertModel")
    graph = passes.fuse(import_model(path).graph)
    layer = [node for node in graph.nodes if node.name.startswith("layers.1.")]
    linear = [node.name.removeprefix("layers.1.") for node in layer if node.op == "linear"]
    assert linear == ["attn.Wqkv.qkv", "attn.Wo", "mlp.Wi.gated", "mlp.Wo"]
    assert [node.op for node in layer if node.op != "linear"] == ["layer_norm", "attention", "layer_norm"]


@pytest.mark.native
def test_a_certificate_in_8_bits(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "model", "ModernBertModel", local_attention=8)
    artifact = bertc.compile(path, tmp_path / "model.bertc", dtype="int8")
    opened = open_artifact(artifact.path)
    steps = {step.name: step for step in opened.manifest.program.steps}
    assert steps["layers.0.mlp.Wi.gated"].op == "linear_int8"
    assert set(opened.manifest.program.features) >= {
        "attention.rotary",
        "attention.window",
        "linear_int8.gated",
    }
    model = bertc.load(artifact.path)
    exact = load_fp32(path)
    texts = ["a man is playing guitar in the house", "the small red cat", "london is not very big " * 4]
    ours, theirs = (each.encode(texts, normalize_embeddings=True) for each in (model, exact))
    assert (ours * theirs).sum(axis=1).min() > 0.995
