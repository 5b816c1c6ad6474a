"""GTE (Zhang et al. 2024, arXiv:2407.19669): BERT with rotary positions and gates."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from bertc.architectures import bert
from bertc.architectures.family import ConfigReader, Family, ModelType
from bertc.architectures.layers import LayerNames, embeddings, post_norm_layers
from bertc.architectures.model_builder import ModelBuilder
from bertc.architectures.rotary import RotaryConfig, read_rotary
from bertc.errors import CheckpointError

NAMES = LayerNames(
    query="self_attn.q_proj",
    key="self_attn.k_proj",
    value="self_attn.v_proj",
    attention="self_attn",
    attention_output="self_attn.o_proj",
    attention_norm="post_attention_layernorm",
    gate="mlp.gate_proj",
    intermediate="mlp.up_proj",
    output="mlp.down_proj",
    output_norm="post_mlp_layernorm",
    unbiased=("mlp.gate_proj", "mlp.up_proj"),
)
"""What ``transformers`` calls the parts of a layer, in its other encoders of this kind, too."""
QKV = tuple(f"self_attn.{part}_proj" for part in "qkv")


def _read_config(reader: ConfigReader) -> RotaryConfig:
    config = dataclasses.replace(
        bert.read_config(reader, ("rope", "absolute")),
        max_position_embeddings=reader.size("max_position_embeddings", 8192),
        type_vocab_size=reader.size("type_vocab_size", 1, smallest=0),
    )
    return read_rotary(reader, config, 160_000.0)


def encoder(builder: ModelBuilder, config: RotaryConfig, names: LayerNames = NAMES) -> str:
    """Embeddings without positions, and layers that turn queries and keys."""
    x = embeddings(builder, dataclasses.replace(config, max_position_embeddings=0))
    return post_norm_layers(builder, config, x, prefix="layers", names=names, bias=config.operands(builder))


def _translate(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Read what Alibaba-NLP/new-impl writes, and Snowflake's copy of it that is of type "gte"."""
    scaling = config.get("rope_scaling")
    if not isinstance(scaling, dict) or scaling.get("type") != "ntk" or config.get("rope_parameters"):
        scaling = None
    model_type = config.get("model_type")
    if model_type != "new" and not (model_type == "gte" and scaling):
        return None
    kind = config.get("layer_norm_type", "layer_norm")
    if kind != "layer_norm":
        raise CheckpointError(f"layer_norm_type {kind!r} is not supported, only layer_norm")
    if config.get("logn_attention_scale"):
        raise CheckpointError("logn_attention_scale is set: scores that depend on lengths are not supported")
    classes = [str(each).replace("New", "Gte", 1) for each in config.get("architectures") or ()]
    changed: dict[str, Any] = {"model_type": "gte", "architectures": classes}
    if scaling:
        changed |= {"rope_scaling": None, "rope_parameters": _stretch(config, scaling)}
    return {**config, **changed}


def _stretch(config: Mapping[str, Any], scaling: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return fixed NTK scaling (https://kexue.fm/archives/9706, eq. 6)."""
    numbers: list[Any] = [scaling.get("factor"), config.get("rope_theta", 10_000.0)]
    numbers += [config.get(key) for key in ("hidden_size", "num_attention_heads")]
    if scaling.get("mixed_b") is not None or not all(type(n) in (int, float) and n > 0 for n in numbers):
        raise CheckpointError(f"rope_scaling {scaling!r} is not supported, only a factor of type ntk")
    factor, theta, hidden_size, heads = map(float, numbers)
    return {
        "rope_type": "linear",
        "rope_theta": theta * factor,
        "factor": factor ** (2 * heads / hidden_size),
    }


FAMILY = Family(
    model_types={"gte": ModelType("Gte", "XLMRobertaTokenizer")},
    read_config=_read_config,
    encoder=encoder,
    spellings={
        "masked_lm": {
            "dense": "lm_head.dense",
            "activation": "gelu",
            "layer_norm": "lm_head.layer_norm",
            "decoder": "lm_head.decoder",
            "bias": "lm_head.decoder.bias",
        },
    },
    lacks=("question_answering", "multiple_choice"),
    renames={
        "encoder.layer": "layers",
        "attention": "self_attn",
        "attn_ln": NAMES.attention_norm,
        "mlp_ln": NAMES.output_norm,
        "lm_head.norm": "lm_head.layer_norm",
        "self_attn.qkv_proj": QKV,
        "mlp.up_gate_proj": (NAMES.intermediate, NAMES.gate),
    },
    translate=_translate,
)
