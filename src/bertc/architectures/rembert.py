"""RemBERT (Chung et al. 2020, arXiv:2010.12821): BERT with narrow tables of input, a wide last layer."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from bertc.architectures import bert
from bertc.architectures.family import ConfigReader, EncoderConfig, Family, ModelType
from bertc.architectures.layers import embeddings, post_norm_layers
from bertc.architectures.model_builder import ModelBuilder


@dataclass(frozen=True, kw_only=True)
class _Config(EncoderConfig):
    output_embedding_size: int

    @property
    def prediction_size(self) -> int:
        return self.output_embedding_size


def _read_config(reader: ConfigReader) -> _Config:
    sizes = dataclasses.asdict(bert.read_config(reader))
    sizes["embedding_size"] = reader.size("input_embedding_size", 256)
    return _Config(**sizes, output_embedding_size=reader.size("output_embedding_size", 1664))


def _encoder(builder: ModelBuilder, config: _Config) -> str:
    x = embeddings(builder, config)
    x = builder.linear("encoder.embedding_hidden_mapping_in", x, config.hidden_size)
    return post_norm_layers(builder, config, x)


FAMILY = Family(
    model_types={"rembert": ModelType("RemBert", "RemBertTokenizer")},
    read_config=_read_config,
    encoder=_encoder,
    spellings={
        "masked_lm": {"dense": "cls.predictions.dense", "layer_norm": "cls.predictions.LayerNorm"},
    },
)
