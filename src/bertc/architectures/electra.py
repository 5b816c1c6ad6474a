"""ELECTRA (Clark et al. 2020, arXiv:2003.10555): BERT with narrower tables, without a pooler."""

from __future__ import annotations

import dataclasses

from bertc.architectures import bert
from bertc.architectures.family import ConfigReader, EncoderConfig, Family, ModelType
from bertc.architectures.layers import embeddings, post_norm_layers
from bertc.architectures.model_builder import ModelBuilder


def _read_config(reader: ConfigReader) -> EncoderConfig:
    return dataclasses.replace(bert.read_config(reader), embedding_size=reader.size("embedding_size", 128))


def _encoder(builder: ModelBuilder, config: EncoderConfig) -> str:
    x = embeddings(builder, config)
    if config.embedding_size != config.hidden_size:
        x = builder.linear("embeddings_project", x, config.hidden_size)
    return post_norm_layers(builder, config, x)


FAMILY = Family(
    model_types={"electra": ModelType("Electra", "BertTokenizer")},
    read_config=_read_config,
    encoder=_encoder,
    spellings={
        "classification": {
            "dense": "classifier.dense",
            "activation": "gelu",
            "output": "classifier.out_proj",
        },
        "multiple_choice": {"dense": "sequence_summary.summary", "activation": "gelu"},
        "masked_lm": {
            "dense": "generator_predictions.dense",
            "activation": "gelu",
            "layer_norm": "generator_predictions.LayerNorm",
            "decoder": "generator_lm_head",
            "bias": "generator_lm_head.bias",
        },
        "replaced_token": {},
    },
)
