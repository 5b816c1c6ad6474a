"""Folders as the hub has them: config.json and names of tensors as published, at small sizes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from bertc.errors import CheckpointError
from bertc.frontends.huggingface import import_model
from tests.support.tiny_models import make_tokenizer, write_json, write_safetensors

Array = np.ndarray[Any, Any]
Modules = Mapping[str, tuple[int, ...]]

H, F, V, LAYERS = 32, 64, 300, 2
SIZES = {
    "hidden_size": H,
    "intermediate_size": F,
    "num_attention_heads": 2,
    "num_hidden_layers": LAYERS,
    "vocab_size": V,
}
BERT_LAYER: Modules = {
    **{f"attention.self.{part}+": (H, H) for part in ("query", "key", "value")},
    "attention.output.dense+": (H, H),
    "attention.output.LayerNorm+": (H,),
}
LLAMA_LAYER: Modules = {
    **{f"self_attn.{part}_proj": (H, H) for part in "qkvo"},
    **{f"mlp.{part}_proj": (F, H) for part in ("gate", "up")},
    "mlp.down_proj": (H, F),
    "input_layernorm": (H,),
    "post_attention_layernorm": (H,),
}


class Layout(NamedTuple):
    """A folder; a module that ends in + has a bias."""

    config: Mapping[str, Any]
    top: Modules
    prefix: str
    """What stands before the modules of a layer, ``{}`` for its number."""
    layer: Modules
    architecture: str
    longest: int
    pooling: str = ""
    """The flag of 1_Pooling/config.json; "" for no sentence-transformers folder."""
    unused: str = ""
    """What the notes name, which no graph has."""


LAYOUTS = {
    "nomic-ai/nomic-embed-text-v1.5": Layout(
        {
            "activation_function": "swiglu",
            "architectures": ["NomicBertModel"],
            "auto_map": {"AutoModel": "nomic-ai/nomic-bert-2048--modeling_hf_nomic_bert.NomicBertModel"},
            "causal": False,
            "dense_seq_output": True,
            "layer_norm_epsilon": 1e-12,
            "max_trained_positions": 2048,
            **{f"mlp_fc{part}_bias": False for part in (1, 2)},
            "model_type": "nomic_bert",
            **{"n_embd": H, "n_head": 2, "n_inner": F, "n_layer": LAYERS, "n_positions": 8192},
            "pad_vocab_size_multiple": 64,
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
            "use_rms_norm": False,
            "vocab_size": V,
        },
        {
            "embeddings.word_embeddings": (V, H),
            "embeddings.token_type_embeddings": (2, H),
            "emb_ln+": (H,),
        },
        "encoder.layers.{}.",
        {
            **{"attn.Wqkv": (3 * H, H), "attn.out_proj": (H, H)},
            **{"mlp.fc11": (F, H), "mlp.fc12": (F, H), "mlp.fc2": (H, F)},
            **{"norm1+": (H,), "norm2+": (H,)},
        },
        "NomicBertModel",
        8192,
        "mean_tokens",
    ),
    "Alibaba-NLP/gte-multilingual-base": Layout(
        {
            **SIZES,
            "architectures": ["NewForTokenClassification"],
            "auto_map": {"AutoModel": "Alibaba-NLP/new-impl--modeling.NewModel"},
            "hidden_act": "gelu",
            "layer_norm_eps": 1e-12,
            "layer_norm_type": "layer_norm",
            "logn_attention_clip1": False,
            "logn_attention_scale": False,
            "max_position_embeddings": 8192,
            "model_type": "new",
            "pack_qkv": True,
            "position_embedding_type": "rope",
            "rope_scaling": {"factor": 8.0, "type": "ntk"},
            "rope_theta": 20000,
            "type_vocab_size": 1,
            "unpad_inputs": False,
        },
        {
            "new.embeddings.word_embeddings": (V, H),
            "new.embeddings.token_type_embeddings": (1, H),
            "new.embeddings.LayerNorm+": (H,),
            "classifier+": (1, H),
        },
        "new.encoder.layer.{}.",
        {
            **{"attention.qkv_proj+": (3 * H, H), "attention.o_proj+": (H, H)},
            **{"mlp.up_gate_proj": (2 * F, H), "mlp.down_proj+": (H, F)},
            **{"attn_ln+": (H,), "mlp_ln+": (H,)},
        },
        "GteModel",
        8192,
        "cls_token",
        "classifier, classifier.bias",
    ),
    "jinaai/jina-embeddings-v2-base-code": Layout(
        {
            **SIZES,
            "_name_or_path": "jinaai/jina-bert-v2-qk-post-norm",
            "architectures": ["JinaBertForMaskedLM"],
            "auto_map": {"AutoModel": "jinaai/jina-bert-v2-qk-post-norm--modeling_bert.JinaBertModel"},
            "emb_pooler": "mean",
            "feed_forward_type": "geglu",
            "hidden_act": "gelu",
            "layer_norm_eps": 1e-12,
            "max_position_embeddings": 8192,
            "model_type": "bert",
            "position_embedding_type": "alibi",
            "type_vocab_size": 2,
        },
        {
            "embeddings.word_embeddings": (V, H),
            "embeddings.token_type_embeddings": (2, H),
            "embeddings.LayerNorm+": (H,),
            "pooler.dense+": (H, H),
        },
        "encoder.layer.{}.",
        {
            **BERT_LAYER,
            **{f"attention.self.layer_norm_{part}+": (H,) for part in "qk"},
            **{"mlp.up_gated_layer": (2 * F, H), "mlp.down_layer+": (H, F)},
            **{"layer_norm_1+": (H,), "layer_norm_2+": (H,)},
        },
        "JinaBertModel",
        8192,
        "mean_tokens",
    ),
    "jinaai/jina-reranker-v2-base-multilingual": Layout(
        {
            **SIZES,
            "architectures": ["XLMRobertaForSequenceClassification"],
            "auto_map": {"AutoConfig": "configuration_xlm_roberta.XLMRobertaFlashConfig"},
            "emb_pooler": None,
            "hidden_act": "gelu",
            "id2label": {"0": "LABEL_0"},
            "label2id": {"LABEL_0": 0},
            "layer_norm_eps": 1e-05,
            "max_position_embeddings": 1026,
            "pad_token_id": 1,
            "position_embedding_type": "absolute",
            "type_vocab_size": 1,
            "use_flash_attn": True,
        },
        {
            "roberta.embeddings.word_embeddings": (V, H),
            "roberta.embeddings.position_embeddings": (1026, H),
            "roberta.embeddings.token_type_embeddings": (1, H),
            "roberta.emb_ln+": (H,),
            **{"classifier.dense+": (H, H), "classifier.out_proj+": (1, H)},
        },
        "roberta.encoder.layers.{}.",
        {
            **{"mixer.Wqkv+": (3 * H, H), "mixer.out_proj+": (H, H)},
            **{"mlp.fc1+": (F, H), "mlp.fc2+": (H, F), "norm1+": (H,), "norm2+": (H,)},
        },
        "XLMRobertaForSequenceClassification",
        1024,
    ),
    "answerdotai/ModernBERT-base": Layout(
        {
            **SIZES,
            "architectures": ["ModernBertForMaskedLM"],
            **dict.fromkeys(("attention_bias", "classifier_bias", "mlp_bias", "norm_bias"), False),
            "classifier_activation": "gelu",
            "classifier_pooling": "mean",
            "decoder_bias": True,
            "deterministic_flash_attn": False,
            "global_attn_every_n_layers": 3,
            "global_rope_theta": 160000.0,
            "hidden_activation": "gelu",
            "layer_norm_eps": 1e-05,
            "local_attention": 128,
            "local_rope_theta": 10000.0,
            "max_position_embeddings": 8192,
            "model_type": "modernbert",
            "norm_eps": 1e-05,
            "position_embedding_type": "absolute",
            "sparse_pred_ignore_index": -100,
            "sparse_prediction": False,
        },
        {
            "model.embeddings.tok_embeddings": (V, H),
            **{"model.embeddings.norm": (H,), "model.final_norm": (H,)},
            **{"head.dense": (H, H), "head.norm": (H,), "decoder": (V, H)},
            "model.layers.1.attn_norm": (H,),
        },
        "model.layers.{}.",
        {
            **{"attn.Wqkv": (3 * H, H), "attn.Wo": (H, H)},
            **{"mlp.Wi": (2 * F, H), "mlp.Wo": (H, F), "mlp_norm": (H,)},
        },
        "ModernBertForMaskedLM",
        8192,
    ),
    "EuroBERT/EuroBERT-210m": Layout(
        {
            **SIZES,
            "architectures": ["EuroBertForMaskedLM"],
            "attention_bias": False,
            "auto_map": {"AutoModel": "modeling_eurobert.EuroBertModel"},
            "clf_pooling": "late",
            "head_dim": 16,
            "hidden_act": "silu",
            "is_decoder": False,
            "mask_token": "<|mask|>",
            "max_position_embeddings": 8192,
            "mlp_bias": False,
            "model_type": "eurobert",
            "num_key_value_heads": 2,
            "pretraining_tp": 1,
            "rms_norm_eps": 1e-05,
            "rope_scaling": None,
            "rope_theta": 250000,
            "tie_word_embeddings": False,
        },
        {"model.embed_tokens": (V, H), "model.norm": (H,), "lm_head": (V, H)},
        "model.layers.{}.",
        LLAMA_LAYER,
        "EuroBertForMaskedLM",
        8192,
    ),
    "jinaai/jina-embeddings-v5-text-nano-retrieval": Layout(
        {
            **SIZES,
            "architectures": ["JinaEmbeddingsV5Model"],
            "head_dim": 16,
            "max_position_embeddings": 8192,
            "model_type": "eurobert",
            "num_key_value_heads": 2,
            "rms_norm_eps": 1e-05,
            "rope_theta": 250000,
        },
        {"embed_tokens": (V, H), "norm": (H,)},
        "layers.{}.",
        LLAMA_LAYER,
        "EuroBertModel",
        8192,
        "lasttoken",
    ),
    "facebook/esm2_t6_8M_UR50D": Layout(
        {
            **SIZES,
            "architectures": ["EsmForMaskedLM"],
            "emb_layer_norm_before": False,
            "esmfold_config": None,
            "hidden_act": "gelu",
            "is_folding_model": False,
            "layer_norm_eps": 1e-05,
            "mask_token_id": 32,
            "max_position_embeddings": 1026,
            "model_type": "esm",
            "pad_token_id": 1,
            "position_embedding_type": "rotary",
            "token_dropout": True,
            "vocab_list": None,
        },
        {
            "esm.embeddings.word_embeddings": (V, H),
            "esm.embeddings.position_embeddings": (1026, H),
            "esm.encoder.emb_layer_norm_after+": (H,),
            "esm.contact_head.regression+": (1, LAYERS * 2),
            **{"lm_head.dense+": (H, H), "lm_head.layer_norm+": (H,), "lm_head.decoder": (V, H)},
        },
        "esm.encoder.layer.{}.",
        {
            **{name: shape for name, shape in BERT_LAYER.items() if "LayerNorm" not in name},
            **{"attention.LayerNorm+": (H,), "LayerNorm+": (H,)},
            **{"intermediate.dense+": (F, H), "output.dense+": (H, F)},
        },
        "EsmForMaskedLM",
        1026,
        unused="contact_head.regression, embeddings.position_embeddings",
    ),
}
EXTRA = {"ModernBertForMaskedLM": ("decoder.bias",), "EsmForMaskedLM": ("lm_head.bias",)}
"""Vectors [vocab_size] beside the modules."""


def _write(path: Path, layout: Layout) -> Path:
    rng = np.random.default_rng(0)
    layers = {
        layout.prefix.format(number) + module: shape
        for number in range(LAYERS)
        for module, shape in layout.layer.items()
    }
    tensors: dict[str, Array] = {name: rng.normal(size=V) for name in EXTRA.get(layout.architecture, ())}
    for module, shape in {**layout.top, **layers}.items():
        name = module.removesuffix("+")
        tensors[f"{name}.weight"] = rng.normal(size=shape)
        if name != module:
            tensors[f"{name}.bias"] = rng.normal(size=shape[0])
    path.mkdir()
    write_safetensors(path / "model.safetensors", tensors, "BF16")
    write_json(path / "config.json", layout.config)
    make_tokenizer(V).save(str(path / "tokenizer.json"))
    write_json(path / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast"})
    if layout.pooling:
        kinds = {"": "Transformer", "1_Pooling": "Pooling", "2_Normalize": "Normalize"}
        entries = [
            {"path": each, "type": f"sentence_transformers.models.{kind}"} for each, kind in kinds.items()
        ]
        write_json(path / "modules.json", entries)
        write_json(path / "1_Pooling" / "config.json", {f"pooling_mode_{layout.pooling}": True})
    return path


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_folder_of_the_hub_is_read(name: str, tmp_path: Path) -> None:
    layout = LAYOUTS[name]
    model = import_model(_write(tmp_path / "model", layout))
    assert (model.info.architecture, model.info.max_seq_length) == (layout.architecture, layout.longest)
    if layout.pooling:
        assert model.info.facts["pooling"] == layout.pooling.removesuffix("_tokens").removesuffix("_token")
    notes = [note.partition(": ")[2] for note in model.notes if "has no use for" in note]
    assert notes == ([layout.unused] if layout.unused else [])


def test_another_name_of_a_pooling_counts_where_there_is_no_newer_one(tmp_path: Path) -> None:
    layout = LAYOUTS["EuroBERT/EuroBERT-210m"]
    config = {**layout.config, "architectures": ["EuroBertForSequenceClassification"], "clf_pooling": "max"}
    with pytest.raises(CheckpointError, match="classifier_pooling 'max' is not supported"):
        import_model(_write(tmp_path / "model", layout._replace(config=config)))
