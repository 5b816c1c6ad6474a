"""RoFormer (Su et al. 2021, arXiv:2104.09864): BERT whose queries and keys are turned by positions."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from bertc.architectures import bert
from bertc.architectures.family import ConfigReader, Family, ModelType
from bertc.architectures.layers import LayerNames, embeddings, post_norm_layers
from bertc.architectures.model_builder import ModelBuilder
from bertc.architectures.rotary import RotaryConfig, read_rotary

_NAMES = LayerNames()
_POSITIONS = "encoder.embed_positions"


def _read_config(reader: ConfigReader) -> RotaryConfig:
    config = bert.read_config(reader)
    own = reader.value("embedding_size") is not None
    config = dataclasses.replace(
        config,
        embedding_size=reader.size("embedding_size") if own else config.hidden_size,
        max_position_embeddings=reader.size("max_position_embeddings", 1536),
    )
    reader.absent("rotary_value", "values that are turned as well are not supported")
    return read_rotary(reader, config, 10_000.0)


def _encoder(builder: ModelBuilder, config: RotaryConfig) -> str:
    x = embeddings(builder, dataclasses.replace(config, max_position_embeddings=0))
    if config.embedding_size != config.hidden_size:
        x = builder.linear("embeddings_project", x, config.hidden_size)
    stored = ""
    if builder.is_sound(_POSITIONS):
        shape = (config.max_position_embeddings, config.head_size)
        stored = builder.derived(f"{_POSITIONS}.weight", shape, "rotary", _cosines_first)
    orders = dict.fromkeys((_NAMES.query, _NAMES.key), config.halves)
    return post_norm_layers(builder, config, x, bias=config.operands(builder, stored), orders=orders)


def _cosines_first(sines_first: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.roll(sines_first, sines_first.shape[1] // 2, axis=1)


FAMILY = Family(
    model_types={"roformer": ModelType("RoFormer", "RoFormerTokenizer")},
    read_config=_read_config,
    encoder=_encoder,
    spellings={
        "classification": {
            "dense": "classifier.dense",
            "activation": "",
            "output": "classifier.out_proj",
        },
        "multiple_choice": {"dense": "", "pooling": "lasttoken"},
    },
)
