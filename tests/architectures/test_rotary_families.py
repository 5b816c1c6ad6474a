"""GTE, NomicBERT, RoFormer, jina-embeddings-v3, ESM: long texts, folders of the hub, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from bertc.architectures import ConfigReader, ModelBuilder
from bertc.errors import CheckpointError
from bertc.frontends.huggingface import import_model
from bertc.frontends.model_class import as_transformers_has_it, find_class
from tests.support.batches import padded_batch
from tests.support.hf_checkpoints import load_fp32, save_checkpoint

Array = np.ndarray[Any, Any]

TOLERANCE = 5e-5
LONG: dict[str, Any] = {"max_position_embeddings": 720}
LINEAR = {"rope_type": "linear", "factor": 4.0, "rope_theta": 5000.0}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "GTE without token types": ("GteModel", {"type_vocab_size": 0, "rope_parameters": LINEAR}),
    "NomicBERT": ("NomicBertModel", {"rope_parameters": LINEAR}),
    "RoFormer": ("RoFormerModel", {"embedding_size": 20}),
    "jina-embeddings-v3": ("JinaEmbeddingsV3Model", {}),
    "ESM-2": ("EsmModel", {}),
    "ESM-1b": (
        "EsmModel",
        {
            "position_embedding_type": "absolute",
            "emb_layer_norm_before": True,
            "max_position_embeddings": 722,
        },
    ),
    "ESMC": ("EsmcModel", {}),
    "Longformer": ("LongformerModel", {"attention_window": [32, 256], "max_position_embeddings": 722}),
}


def _transformers(path: Path, class_name: str, **arrays: Array | None) -> Array:
    """Return the last hidden state by transformers."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    model = getattr(transformers, class_name).from_pretrained(path, dtype=torch.float32).eval()
    given = {name: torch.from_numpy(np.asarray(a)) for name, a in arrays.items() if a is not None}
    with torch.no_grad():
        return np.asarray(model(**given).last_hidden_state)


def _config(path: Path, changes: dict[str, Any]) -> dict[str, Any]:
    """Change config.json, where None takes a key away; return what it was."""
    before: dict[str, Any] = json.loads((path / "config.json").read_text("utf-8"))
    after = {key: value for key, value in {**before, **changes}.items() if value is not None}
    (path / "config.json").write_text(json.dumps(after), "utf-8")
    return before


@pytest.mark.native
@pytest.mark.parametrize("variant", VARIANTS)
def test_long_texts_equal_transformers_for_any_mask(variant: str, tmp_path: Path) -> None:
    class_name, options = VARIANTS[variant]
    path = save_checkpoint(tmp_path / "model", class_name, **{**LONG, **options})
    encoder, rng = load_fp32(path), np.random.default_rng(0)
    for kind in ("left", "holes"):
        batch = padded_batch(rng, [1, 40, 129, 700], 300, kind)
        ids = np.where(batch.mask, np.maximum(batch.input_ids, 2), 1)  # ESM counts what is not padding
        expected = _transformers(path, class_name, input_ids=ids, attention_mask=batch.attention_mask)
        found = encoder(ids, batch.attention_mask).last_hidden_state
        kept = batch.mask.astype(bool)
        assert np.abs(found[kept] - expected[kept]).max() <= TOLERANCE * np.abs(expected[kept]).max(), kind


@pytest.mark.parametrize(
    "class_name", ["GteForMaskedLM", "NomicBertForMaskedLM", "JinaEmbeddingsV3ForMaskedLM"]
)
def test_names_of_the_hub_and_of_transformers_give_the_same_graph(class_name: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    path = save_checkpoint(tmp_path / "hub", class_name)
    hub = import_model(path).graph
    model = getattr(transformers, class_name).from_pretrained(path)
    model.save_pretrained(path, save_original_format=False)
    own = import_model(path).graph
    assert hub.nodes == own.nodes
    assert hub.constants.keys() == own.constants.keys()
    for name, constant in hub.constants.items():
        np.testing.assert_array_equal(constant.array, own.constants[name].array)


NOMIC_KEYS = {
    "hidden_size": "n_embd",
    "num_hidden_layers": "n_layer",
    "num_attention_heads": "n_head",
    "intermediate_size": "n_inner",
    "max_position_embeddings": "n_positions",
    "layer_norm_eps": "layer_norm_epsilon",
}
OF_THE_HUB: dict[str, tuple[str, dict[str, Any]]] = {
    "Alibaba-NLP/new-impl": (
        "GteModel",
        {
            "model_type": "new",
            "architectures": ["NewModel"],
            "rope_theta": 160000,
            "layer_norm_type": "layer_norm",
            "position_embedding_type": "rope",
            "pack_qkv": True,
        },
    ),
    "nomic-ai/nomic-bert-2048": (
        "NomicBertModel",
        {
            "rotary_emb_base": 1000,
            "rotary_emb_fraction": 1.0,
            "rotary_emb_interleaved": False,
            "rotary_scaling_factor": None,
            "activation_function": "swiglu",
            "qkv_proj_bias": False,
            "mlp_fc1_bias": False,
            "mlp_fc2_bias": False,
            "prenorm": False,
            "hidden_act": None,
            "head_dim": None,
        },
    ),
    "jinaai/xlm-roberta-flash-implementation": (
        "JinaEmbeddingsV3Model",
        {
            "model_type": "xlm-roberta",
            "architectures": ["XLMRobertaLoRA"],
            "position_embedding_type": "rotary",
            "rotary_emb_base": 20000.0,
        },
    ),
}


@pytest.mark.parametrize("code", OF_THE_HUB)
def test_configs_that_are_written_for_code_on_the_hub(code: str, tmp_path: Path) -> None:
    class_name, changes = OF_THE_HUB[code]
    path = save_checkpoint(tmp_path / "model", class_name)
    expected = import_model(path)
    before = _config(
        path, {**changes, "rope_parameters": None, "auto_map": {"AutoModel": f"{code}--modeling.X"}}
    )
    if class_name == "NomicBertModel":
        _config(path, {own: before[key] for key, own in NOMIC_KEYS.items()} | dict.fromkeys(NOMIC_KEYS))
    found = import_model(path)
    assert found.info.architecture == class_name
    assert found.graph.nodes == expected.graph.nodes
    np.testing.assert_array_equal(
        found.graph.constants["rotary"].array, expected.graph.constants["rotary"].array
    )


def test_the_fixed_scaling_of_gte_on_the_hub(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "model", "GteModel")
    scaling = {"type": "ntk", "factor": 8.0}
    _config(path, {"model_type": "new", "architectures": ["NewModel"], "rope_parameters": None})
    _config(path, {"rope_theta": 20000, "rope_scaling": scaling})
    found = import_model(path).graph.constants["rotary"].array
    frequencies = 1 / (20000.0 * 8.0) ** (np.arange(0, 16, 2) / 16) / 8.0 ** (2 / 16)
    angles = np.arange(66)[:, None] * frequencies
    np.testing.assert_allclose(found, np.concatenate([np.cos(angles), np.sin(angles)], 1), atol=1e-5)


NEW = {"model_type": "new", "architectures": ["NewModel"]}
NOMIC = {"n_embd": 32, "activation_function": "swiglu"}


@pytest.mark.parametrize(
    ("class_name", "changes", "message"),
    [
        ("GteModel", {"rope_parameters": [1]}, "rope_parameters is"),
        ("GteModel", {"hidden_size": 30}, "heads have 15 columns, which make no pairs"),
        ("GteModel", {**NEW, "layer_norm_type": "rms_norm"}, "layer_norm_type 'rms_norm'"),
        ("GteModel", {**NEW, "logn_attention_scale": True}, "logn_attention_scale is set"),
        ("GteModel", {**NEW, "rope_parameters": None, "rope_scaling": {"type": "ntk"}}, "rope_scaling"),
        ("NomicBertModel", {"head_dim": 8}, "head_dim is 8, expected 16"),
        ("NomicBertModel", {**NOMIC, "num_experts": 8}, "a mixture of experts .* is not supported: take"),
        ("NomicBertModel", {**NOMIC, "activation_function": "gelu"}, "activation_function 'gelu'"),
        (
            "NomicBertModel",
            {**NOMIC, "prenorm": True, "rotary_scaling_factor": 2},
            "factor is 2, .*prenorm is",
        ),
        ("RoFormerModel", {"rotary_value": True}, "rotary_value is set"),
        ("EsmcModel", {"num_attention_heads": 4}, "heads of 16 columns with norms are not supported"),
        ("EsmcModel", {"attention_bias": True}, "attention_bias is set: only layers without biases"),
        ("EsmModel", {"is_folding_model": True}, "is_folding_model is set: of ESMFold, the encoder alone"),
        ("EsmModel", {"token_dropout": True, "mask_token_id": None}, "mask_token_id is missing"),
    ],
)
def test_what_is_not_supported_is_named(
    class_name: str, changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = save_checkpoint(tmp_path / "model", class_name)
    _config(path, changes)
    with pytest.raises(CheckpointError, match=message):
        import_model(path)


@pytest.mark.native
@pytest.mark.parametrize("kind", ["right", "holes"])
def test_masks_of_esm_scale_all_other_tokens(kind: str, tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "model", "EsmModel", token_dropout=True)
    batch = padded_batch(np.random.default_rng(0), [3, 20, 60], 300, kind)
    ids = batch.input_ids.copy()
    ids[1, 5:9] = ids[2, ::3] = 32
    ids = np.where(batch.mask, ids, 1)
    expected = _transformers(path, "EsmModel", input_ids=ids, attention_mask=batch.attention_mask)
    found = load_fp32(path)(ids, batch.attention_mask).last_hidden_state
    kept = batch.mask.astype(bool)
    assert np.abs(found - expected)[kept].max() <= TOLERANCE * np.abs(expected[kept]).max()


def test_frequencies_that_a_checkpoint_of_esm_holds_count(tmp_path: Path) -> None:
    numpy = pytest.importorskip("safetensors.numpy")
    path = save_checkpoint(tmp_path / "model", "EsmModel")
    tensors = numpy.load_file(path / "model.safetensors")
    exact = tensors.pop(next(name for name in tensors if name.endswith("inv_freq")))
    rounded = exact.astype(np.float16).astype(np.float32)
    for layer in range(2):
        tensors[f"encoder.layer.{layer}.attention.self.rotary_embeddings.inv_freq"] = rounded
    numpy.save_file(tensors, path / "model.safetensors")
    model = import_model(path)
    angles = np.arange(66, dtype=np.float32)[:, None] * rounded
    (attention, _) = (node for node in model.graph.nodes if node.op == "attention")
    np.testing.assert_array_equal(model.graph.constants[attention["rotary"]].array[:, :8], np.cos(angles))
    assert not any("rotary_embeddings" in note for note in model.notes)
    ids = np.arange(5, 65).reshape(2, 30)
    found, expected = load_fp32(path)(ids).last_hidden_state, _transformers(path, "EsmModel", input_ids=ids)
    assert found is not None and np.abs(found - expected).max() <= TOLERANCE * np.abs(expected).max()


def test_the_tokenizer_of_esm_takes_letters_wherever_they_stand(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    path = save_checkpoint(tmp_path / "model", "EsmModel")
    tokens = ["<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWCXBUZO.-", "<null_1>", "<mask>"]
    (path / "tokenizer.json").unlink()
    (path / "tokenizer_config.json").unlink()
    (path / "vocab.txt").write_text("\n".join(tokens), "utf-8")
    theirs = transformers.EsmTokenizer(path / "vocab.txt")
    ours = Tokenizer.from_str(import_model(path).tokenizer_json)
    for text in ("MKTVRQERLK", "MK <mask> V.-L", "mktv JA", "", " A  G ", "MM<mask>A<null_1>", "LxLé"):
        assert ours.encode(text).ids == theirs(text)["input_ids"], text
    assert ours.encode("MK", "V").ids == theirs("MK", "V")["input_ids"]


SNOWFLAKE: dict[str, dict[str, Any]] = {
    "snowflake-arctic-embed-m-long": {
        "model_type": "nomic_bert",
        "architectures": ["NomicBertModel"],
        "activation_function": "swiglu",
        "layer_norm_epsilon": 1e-12,
        "max_trained_positions": 2048,
        "mlp_fc1_bias": False,
        "mlp_fc2_bias": False,
        "n_embd": 768,
        "n_head": 12,
        "n_inner": 3072,
        "n_layer": 12,
        "n_positions": 8192,
        "parallel_block": False,
        "prenorm": False,
        "qkv_proj_bias": False,
        "rotary_emb_base": 1000,
        "rotary_emb_fraction": 1.0,
        "rotary_emb_interleaved": False,
        "rotary_emb_scale_base": None,
        "rotary_scaling_factor": None,
        "scale_attn_by_inverse_layer_idx": False,
        "scale_attn_weights": True,
        "type_vocab_size": 2,
        "vocab_size": 30528,
    },
    "snowflake-arctic-embed-m-v2.0": {
        "model_type": "gte",
        "architectures": ["GteModel"],
        "hidden_act": "gelu",
        "hidden_size": 768,
        "intermediate_size": 3072,
        "layer_norm_eps": 1e-12,
        "layer_norm_type": "layer_norm",
        "logn_attention_scale": False,
        "max_position_embeddings": 8192,
        "num_attention_heads": 12,
        "num_hidden_layers": 12,
        "pack_qkv": True,
        "position_embedding_type": "rope",
        "rope_scaling": None,
        "rope_theta": 160000,
        "type_vocab_size": 1,
        "vocab_size": 250048,
    },
}


@pytest.mark.parametrize(("name", "tensors"), [("m-long", 4 + 12 * 11), ("m-v2.0", 4 + 12 * 16)])
def test_models_of_snowflake_are_read_by_their_configs(name: str, tensors: int) -> None:
    config = as_transformers_has_it(SNOWFLAKE[f"snowflake-arctic-embed-{name}"])
    family = find_class(config).family
    reader, draft = ConfigReader(config, family.config_keys), ModelBuilder({})
    family.encoder(draft, family.read_config(reader))
    assert reader.problems == []
    assert len(draft.wanted) == tensors
