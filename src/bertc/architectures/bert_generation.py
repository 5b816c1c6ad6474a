"""BertGeneration's encoder (Rothe et al. 2019, arXiv:1907.12461): BERT without token types and pooler."""

from __future__ import annotations

import dataclasses

from bertc.architectures import bert
from bertc.architectures.family import ConfigReader, EncoderConfig, Family, ModelType


def _read_config(reader: ConfigReader) -> EncoderConfig:
    return dataclasses.replace(bert.read_config(reader), type_vocab_size=0)


FAMILY = Family(
    model_types={"bert-generation": ModelType("BertGeneration", "BertGenerationTokenizer")},
    read_config=_read_config,
    encoder=bert.encoder,
    endings={"embedding": "Encoder"},
    encoder_only=True,
)
