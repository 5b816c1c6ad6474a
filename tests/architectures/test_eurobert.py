"""EuroBERT's and UltraBERT's grouped heads, windows and angles, and what older configs say of them."""

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
GROUPED = {"num_attention_heads": 6, "num_key_value_heads": 2, "hidden_size": 48}
LONG: dict[str, Any] = {"max_position_embeddings": 720, "num_hidden_layers": 3, **GROUPED}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "grouped": ("EuroBertModel", {}),
    "with all biases": ("EuroBertModel", {"attention_bias": True, "mlp_bias": True, "hidden_act": "gelu"}),
    "wide heads": ("EuroBertModel", {"head_dim": 14, "rope_parameters": {"rope_theta": 500.0}}),
    "stretched": (
        "EuroBertModel",
        {"rope_parameters": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 180}},
    ),
    "window of 16": ("UltrabertModel", {"sliding_window": 16}),
    "window of 128": ("UltrabertModel", {"sliding_window": 128}),
    "layers named": (
        "UltrabertModel",
        {
            "sliding_window": 5,
            "layer_types": ["full_attention", "sliding_attention", "full_attention"],
            "rope_parameters": {
                "full_attention": {
                    "rope_type": "llama3",
                    "factor": 4.0,
                    "low_freq_factor": 1.0,
                    "high_freq_factor": 4.0,
                    "original_max_position_embeddings": 180,
                    "rope_theta": 50000.0,
                },
                "sliding_attention": {"rope_type": "default", "rope_theta": 500.0},
            },
        },
    ),
}


def _transformers(path: Path, class_name: str, **arrays: Any) -> Any:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    model = getattr(transformers, class_name).from_pretrained(path, dtype=torch.float32).eval()
    with torch.no_grad():
        return model(**{name: torch.from_numpy(np.asarray(array)) for name, array in arrays.items()})


def _change(path: Path, **changes: Any) -> None:
    config = json.loads((path / "config.json").read_text("utf-8"))
    config = {key: value for key, value in {**config, **changes}.items() if value is not None}
    (path / "config.json").write_text(json.dumps(config), "utf-8")


@pytest.mark.native
@pytest.mark.parametrize("variant", VARIANTS)
def test_long_texts_equal_transformers_for_any_mask(variant: str, tmp_path: Path) -> None:
    class_name, options = VARIANTS[variant]
    path = save_checkpoint(tmp_path / "model", class_name, **{**LONG, **options})
    encoder, rng = load_fp32(path), np.random.default_rng(0)
    for kind in [kind for kind in MASKS if kind not in ("none", "empty row")]:
        batch = padded_batch(rng, [1, 40, 129, 700], 300, kind)
        found = encoder(batch.input_ids, batch.attention_mask).last_hidden_state
        expected = _transformers(
            path, class_name, input_ids=batch.input_ids, attention_mask=batch.mask
        ).last_hidden_state.numpy()
        kept = batch.mask.astype(bool)
        assert np.abs(found[kept] - expected[kept]).max() <= TOLERANCE * np.abs(expected[kept]).max(), kind


@pytest.mark.native
@pytest.mark.parametrize(
    ("class_name", "pooling"),
    [
        ("EuroBertForSequenceClassification", "bos"),
        ("EuroBertForSequenceClassification", "mean"),
        ("EuroBertForSequenceClassification", "late"),
        ("UltrabertForSequenceClassification", "mean"),
    ],
)
def test_a_classifier_pools_as_the_config_says(class_name: str, pooling: str, tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "model", class_name, classifier_pooling=pooling, num_labels=3)
    batch = padded_batch(np.random.default_rng(0), [3, 20], 300, "right")
    found = load_fp32(path)(batch.input_ids, batch.attention_mask).logits
    expected = _transformers(
        path, class_name, input_ids=batch.input_ids, attention_mask=batch.mask
    ).logits.numpy()
    assert np.abs(found - expected).max() <= TOLERANCE * np.abs(expected).max()


@pytest.mark.native
def test_a_config_of_the_first_ultraberts_says_the_same(tmp_path: Path) -> None:
    """It has a window and a base for each layer."""
    kinds = ["sliding_attention", "full_attention", "sliding_attention"]
    bases = {"full_attention": 4000.0, "sliding_attention": 70.0}
    rope = {kind: {"rope_type": "default", "rope_theta": base} for kind, base in bases.items()}
    options = {"num_hidden_layers": 3, "sliding_window": 3, "layer_types": kinds, "rope_parameters": rope}
    path = save_checkpoint(tmp_path / "model", "UltrabertModel", **options)
    ids = np.arange(5, 45).reshape(1, 40)
    expected = load_fp32(path)(ids).last_hidden_state
    _change(
        path,
        layer_types=None,
        sliding_window=None,
        rope_parameters=None,
        attention_windows=[3, 0, 3],
        rope_theta=[bases[kind] for kind in kinds],
    )
    np.testing.assert_array_equal(load_fp32(path)(ids).last_hidden_state, expected)


@pytest.mark.parametrize(
    ("class_name", "changes", "message"),
    [
        ("EuroBertModel", {"num_key_value_heads": 3}, "num_attention_heads 2 is not a multiple of num_key"),
        ("EuroBertModel", {"num_key_value_heads": -1}, "num_key_value_heads is -1"),
        ("EuroBertModel", {"head_dim": 7}, "heads have 7 columns, which make no pairs"),
        ("EuroBertModel", {"classifier_pooling": "max"}, "classifier_pooling 'max'"),
        ("EuroBertModel", {"rope_parameters": [1]}, "rope_parameters is"),
        ("UltrabertModel", {"classifier_pooling": "late"}, "classifier_pooling 'late'"),
        ("UltrabertModel", {"layer_types": ["full_attention"]}, "layer_types is"),
        ("UltrabertModel", {"layer_types": ["full_attention", "linear"]}, "layer_types is"),
        ("UltrabertModel", {"attention_windows": [1, "x"]}, "attention_windows is"),
        ("UltrabertModel", {"rope_parameters": {"full_attention": {}}}, "rope_parameters is"),
        ("UltrabertModel", {"sliding_window": 0}, "sliding_window is 0"),
        ("UltrabertModel", {"max_position_embeddings": 2**40}, "max_position_embeddings is"),
    ],
)
def test_what_is_not_supported_is_named(
    class_name: str, changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = save_checkpoint(tmp_path / "model", class_name)
    _change(path, **changes)
    with pytest.raises(CheckpointError, match=message):
        import_model(path)


def test_keys_and_values_are_stored_once_for_all_heads_that_share_them(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "model", "EuroBertModel", **GROUPED)
    graph = passes.fuse(import_model(path).graph)
    layer = [node for node in graph.nodes if node.name.startswith("layers.1.")]
    assert [node.op for node in layer] == [
        "layer_norm",
        "linear",
        "attention",
        "linear",
        "layer_norm",
        *["linear"] * 2,
    ]
    assert graph.constants[layer[1]["weight"]].source.shape == (
        (6 + 2 * 2) * 32,
        48,
    )  # halves of 4 are padded


@pytest.mark.native
def test_a_certificate_in_8_bits(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "model", "UltrabertModel", sliding_window=4, **GROUPED)
    opened = open_artifact(bertc.compile(path, tmp_path / "model.bertc", dtype="int8").path)
    assert set(opened.manifest.program.features) >= {
        "attention.num_key_value_heads",
        "attention.rotary",
        "attention.window",
        "layer_norm.rms",
        "layer_norm_quantize.rms",
        "linear_int8.gated",
    }
    model, exact = bertc.load(tmp_path / "model.bertc"), load_fp32(path)
    texts = ["a man is playing guitar in the house", "the small red cat", "london is not very big " * 4]
    ours, theirs = (each.encode(texts, normalize_embeddings=True) for each in (model, exact))
    assert (ours * theirs).sum(axis=1).min() > 0.995
