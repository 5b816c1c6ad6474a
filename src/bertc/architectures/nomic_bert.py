"""NomicBERT (Nussbaum et al. 2024, arXiv:2402.01613): rotary positions, gates, no biases in layers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bertc.architectures import bert, gte
from bertc.architectures.family import ConfigReader, Family, ModelType
from bertc.architectures.model_builder import ModelBuilder
from bertc.architectures.rotary import RotaryConfig, read_rotary
from bertc.errors import CheckpointError

_BIASES = {
    "qkv_proj_bias": (*gte.QKV, gte.NAMES.attention_output),
    "mlp_fc1_bias": (gte.NAMES.gate, gte.NAMES.intermediate),
    "mlp_fc2_bias": (gte.NAMES.output,),
}
"""The dense layers that have a bias if a key of the hub's config says so; ``transformers`` has none."""


@dataclass(frozen=True, kw_only=True)
class _Config(RotaryConfig):
    qkv_proj_bias: bool
    mlp_fc1_bias: bool
    mlp_fc2_bias: bool


def _read_config(reader: ConfigReader) -> _Config:
    config = dataclasses.replace(
        bert.read_config(reader),
        max_position_embeddings=reader.size("max_position_embeddings", 2048),
        activation=reader.choice("hidden_act", bert.ACTIVATIONS, "silu"),
        head_bias=reader.flag("head_bias", default=True),
        decoder_bias=reader.flag("head_bias", default=True),
    )
    head_size = config.hidden_size // config.num_attention_heads
    stated = reader.value("head_dim") or head_size
    reader.require(stated == head_size, f"head_dim is {stated!r}, expected {head_size}")
    biases: dict[str, Any] = {key: reader.flag(key) for key in _BIASES}
    return _Config(**dataclasses.asdict(read_rotary(reader, config, 1000.0)), **biases)


def _encoder(builder: ModelBuilder, config: _Config) -> str:
    unbiased = (name for key, names in _BIASES.items() if not getattr(config, key) for name in names)
    return gte.encoder(builder, config, dataclasses.replace(gte.NAMES, unbiased=tuple(unbiased)))


_KEYS = {
    "hidden_size": "n_embd",
    "num_hidden_layers": "n_layer",
    "num_attention_heads": "n_head",
    "intermediate_size": "n_inner",
    "max_position_embeddings": "n_positions",
    "layer_norm_eps": "layer_norm_epsilon",
    "rope_theta": "rotary_emb_base",
}
_ACTIVATIONS = {"swiglu": "silu", "geglu": "gelu"}
_USUAL: Mapping[str, tuple[Any, ...]] = {
    "rotary_emb_fraction": (1.0,),
    "rotary_emb_interleaved": (False, None),
    "rotary_emb_scale_base": (None,),
    "rotary_scaling_factor": (None,),
    "prenorm": (False, None),
    "parallel_block": (False, None),
    "use_rms_norm": (False, None),
    "causal": (False, None),
    "scale_attn_weights": (True, None),
    "scale_attn_by_inverse_layer_idx": (False, None),
}
"""Options of the code on the hub -> the values with which it computes what this family does."""


def _translate(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Read what nomic-ai/nomic-bert-2048 writes, which names sizes as GPT-2 does."""
    if config.get("model_type") != "nomic_bert" or "n_embd" not in config:
        return None
    if config.get("num_experts") or config.get("moe_every_n_layers"):
        raise CheckpointError(
            "NomicBERT with a mixture of experts (nomic-embed-text-v2-moe) is not supported: take a model "
            "without, such as nomic-embed-text-v1.5"
        )
    problems = [
        f"{key} is {config[key]!r}, supported is {usual[0]!r}"
        for key, usual in _USUAL.items()
        if key in config and config[key] not in usual
    ]
    activation = config.get("activation_function", "gelu")
    if activation not in _ACTIVATIONS:
        problems.append(
            f"activation_function {activation!r} is not supported, only {', '.join(_ACTIVATIONS)}"
        )
    if problems:
        raise CheckpointError(f"config.json: {'; '.join(problems)}")
    classes = [
        str(each).replace("ForPreTraining", "ForMaskedLM") for each in config.get("architectures") or ()
    ]
    mlp_bias = config.get("mlp_fc1_bias", True)
    return {
        **config,
        **{key: config[own] for key, own in _KEYS.items() if own in config},
        "hidden_act": _ACTIVATIONS[activation],
        "head_bias": mlp_bias or classes != ["NomicBertForMaskedLM"],
        **{key: config.get(key, True) for key in _BIASES},
        "architectures": classes,
    }


FAMILY = Family(
    model_types={"nomic_bert": ModelType("NomicBert", "BertTokenizer")},
    read_config=_read_config,
    encoder=_encoder,
    spellings={"masked_lm": {"layer_norm": "cls.predictions.transform.layer_norm"}},
    lacks=gte.FAMILY.lacks,
    renames={
        "encoder.layers": "layers",
        "emb_ln": "embeddings.LayerNorm",
        "attn.Wqkv": gte.QKV,
        "attn.out_proj": gte.NAMES.attention_output,
        "mlp.fc11": gte.NAMES.intermediate,
        "mlp.fc12": gte.NAMES.gate,
        "mlp.fc2": gte.NAMES.output,
        "norm1": gte.NAMES.attention_norm,
        "norm2": gte.NAMES.output_norm,
    },
    translate=_translate,
)
