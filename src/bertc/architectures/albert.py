"""ALBERT (Lan et al. 2019, arXiv:1909.11942): narrow tables, and layers that share their tensors."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from bertc.architectures import bert
from bertc.architectures.family import ConfigReader, EncoderConfig, Family, ModelType
from bertc.architectures.layers import Layer, LayerNames, embeddings
from bertc.architectures.model_builder import ModelBuilder

_NAMES = LayerNames(
    query="attention.query",
    key="attention.key",
    value="attention.value",
    attention="attention",
    attention_output="attention.dense",
    attention_norm="attention.LayerNorm",
    intermediate="ffn",
    output="ffn_output",
    output_norm="full_layer_layer_norm",
)


@dataclass(frozen=True, kw_only=True)
class _Config(EncoderConfig):
    num_hidden_groups: int
    """The groups of tensors, which consecutive layers share."""
    inner_group_num: int
    """The layers that each of ``num_hidden_layers`` stands for."""


def _read_config(reader: ConfigReader) -> _Config:
    sizes = dataclasses.asdict(bert.read_config(reader))
    sizes["embedding_size"] = reader.size("embedding_size", 128)
    config = _Config(
        **sizes,
        num_hidden_groups=reader.size("num_hidden_groups", 1),
        inner_group_num=reader.size("inner_group_num", 1),
    )
    reader.require(
        config.num_hidden_groups <= config.num_hidden_layers,
        f"num_hidden_groups {config.num_hidden_groups} is more than the {config.num_hidden_layers} layers",
    )
    return config


def _encoder(builder: ModelBuilder, config: _Config) -> str:
    x = embeddings(builder, config)
    x = builder.linear("encoder.embedding_hidden_mapping_in", x, config.hidden_size)
    builder.hidden_state(x)
    for i in range(config.num_hidden_layers):
        group = int(i / (config.num_hidden_layers / config.num_hidden_groups))
        for inner in range(config.inner_group_num):
            module = f"encoder.albert_layer_groups.{group}.albert_layers.{inner}"
            name = f"encoder.layer.{i * config.inner_group_num + inner}"
            x = builder.hidden_state(Layer(builder, config, name, _NAMES, module).post_norm(x))
    return x


_MASKED_LM = {
    "dense": "predictions.dense",
    "layer_norm": "predictions.LayerNorm",
    "decoder": "predictions.decoder",
    "bias": "predictions.bias",
}
FAMILY = Family(
    model_types={"albert": ModelType("Albert", "AlbertTokenizer")},
    read_config=_read_config,
    encoder=_encoder,
    spellings={
        "embedding": {"pooler": "pooler"},
        "classification": {"dense": "pooler"},
        "multiple_choice": {"dense": "pooler"},
        "masked_lm": _MASKED_LM,
        "pretraining": {
            **_MASKED_LM,
            "pooler": "pooler",
            "seq_relationship": "sop_classifier.classifier",
            "relationship_logits": "sop_logits",
        },
    },
)
