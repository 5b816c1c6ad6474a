"""DistilBERT (Sanh et al. 2019, arXiv:1910.01108): BERT without token types and pooler, and its own names."""

from __future__ import annotations

import dataclasses

from bertc.architectures import bert
from bertc.architectures.family import ConfigReader, EncoderConfig, Family, ModelType
from bertc.architectures.layers import LayerNames, embeddings, post_norm_layers
from bertc.architectures.model_builder import ModelBuilder

_NAMES = LayerNames(
    query="attention.q_lin",
    key="attention.k_lin",
    value="attention.v_lin",
    attention="attention",
    attention_output="attention.out_lin",
    attention_norm="sa_layer_norm",
    intermediate="ffn.lin1",
    output="ffn.lin2",
    output_norm="output_layer_norm",
)


def _read_config(reader: ConfigReader) -> EncoderConfig:
    return dataclasses.replace(bert.read_config(reader), type_vocab_size=0, layer_norm_eps=1e-12)


def _encoder(builder: ModelBuilder, config: EncoderConfig) -> str:
    return post_norm_layers(
        builder, config, embeddings(builder, config), prefix="transformer.layer", names=_NAMES
    )


_CLASSIFIER = {"dense": "pre_classifier", "activation": "relu"}
FAMILY = Family(
    model_types={"distilbert": ModelType("DistilBert", "BertTokenizer")},
    read_config=_read_config,
    encoder=_encoder,
    config_keys={
        "hidden_size": "dim",
        "num_hidden_layers": "n_layers",
        "num_attention_heads": "n_heads",
        "intermediate_size": "hidden_dim",
        "hidden_act": "activation",
    },
    spellings={
        "classification": _CLASSIFIER,
        "multiple_choice": _CLASSIFIER,
        "masked_lm": {
            "dense": "vocab_transform",
            "layer_norm": "vocab_layer_norm",
            "decoder": "vocab_projector",
            "bias": "vocab_projector.bias",
        },
    },
)
