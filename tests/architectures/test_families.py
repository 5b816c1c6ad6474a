"""What families have beside BERT's layers: shared tensors, more tables, other sizes, all at once refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bertc
from bertc import passes
from bertc.architectures import FAMILIES, ConfigReader
from bertc.artifact.reader import open_artifact
from bertc.errors import CheckpointError
from bertc.frontends.huggingface import import_model
from bertc.frontends.model_class import find_class, supported_classes
from bertc.quantize.draft import draft
from bertc.quantize.precisions import choose_precisions
from bertc.recipe import Recipe
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


VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "X-MOD, norms before": ("XmodModel", {"pre_norm": True, "adapter_reduction_factor": 4}),
    "X-MOD, norms of adapters": ("XmodModel", {"adapter_layer_norm": True, "ln_before_adapter": False}),
    "X-MOD, no norm": ("XmodModel", {"adapter_reuse_layer_norm": False, "hidden_act": "relu"}),
    "BigBird without biases": ("BigBirdModel", {"use_bias": False}),
    "SqueezeBERT": ("SqueezeBertModel", {"q_groups": 4, "k_groups": 1, "post_attention_groups": 2}),
}


@pytest.mark.native
@pytest.mark.parametrize("variant", VARIANTS)
def test_options_of_layers_equal_transformers(variant: str, tmp_path: Path) -> None:
    class_name, options = VARIANTS[variant]
    path = save_checkpoint(tmp_path / "model", class_name, **options)
    batch = padded_batch(np.random.default_rng(0), [3, 47], 300, "right")
    expected = _hidden(path, class_name, batch.input_ids, attention_mask=batch.attention_mask)
    found = load_fp32(path)(batch.input_ids, batch.attention_mask).last_hidden_state
    kept = batch.mask.astype(bool)
    assert np.abs(found[kept] - expected[kept]).max() <= TOLERANCE * np.abs(expected).max()


@pytest.mark.native
def test_sparse_attention_is_full_as_long_as_texts_are_short(tmp_path: Path) -> None:
    sparse = {"attention_type": "block_sparse", "block_size": 2, "num_random_blocks": 1}
    path = save_checkpoint(tmp_path / "model", "BigBirdModel", **sparse)
    with pytest.warns(UserWarning, match="block_sparse, which is full attention up to 14 tokens: longer"):
        encoder = load_fp32(path)
    assert encoder.info.max_seq_length == encoder.info.longest_sequence == 14
    ids = np.arange(5, 33).reshape(2, 14)
    expected = _hidden(path, "BigBirdModel", ids)
    found = encoder(ids).last_hidden_state
    assert found is not None and np.abs(found - expected).max() <= TOLERANCE * np.abs(expected).max()
    with pytest.raises(bertc.InputError):
        encoder(np.full((1, 15), 7))


@pytest.mark.parametrize(
    ("class_name", "changes", "message"),
    [
        ("IBertModel", {"quant_mode": True}, "quant_mode is set: I-BERT's integers are not supported"),
        ("LongformerModel", {"attention_window": 7}, "attention_window is 7, expected an even number"),
        ("LongformerModel", {"attention_window": [8]}, r"attention_window is \[8\], expected"),
        ("BigBirdModel", {"rescale_embeddings": True}, "rescale_embeddings is set"),
        (
            "BigBirdModel",
            {"attention_type": "linear"},
            "attention_type 'linear' is not supported, only block",
        ),
        ("SqueezeBertModel", {"q_groups": 3}, "q_groups: channels do not divide into such groups"),
        ("SqueezeBertModel", {"embedding_size": 16}, "embedding_size is 16, expected 32"),
    ],
)
def test_what_is_not_supported_is_named(
    class_name: str, changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = save_checkpoint(tmp_path / "model", class_name)
    config = json.loads((path / "config.json").read_text("utf-8"))
    (path / "config.json").write_text(json.dumps({**config, **changes}), "utf-8")
    with pytest.raises(CheckpointError, match=message):
        import_model(path)


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
def test_every_product_of_a_family_is_in_8_bits(class_name: str, tmp_path: Path) -> None:
    graph = passes.fuse(import_model(save_checkpoint(tmp_path / "model", class_name)).graph)
    recipe = Recipe(dtype="int8")
    typed = draft(graph, recipe, choose_precisions(graph, recipe))
    assert {node.op for node in typed.nodes if node.op.startswith("linear")} == {"linear_int8"}
    computed = {node.attributes["compute_dtype"] for node in typed.nodes if node.op == "attention"}
    assert computed == {"int8"}


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
