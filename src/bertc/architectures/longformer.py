"""Longformer (Beltagy et al. 2020, arXiv:2004.05150) without global attention: RoBERTa with windows."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from bertc.architectures import roberta
from bertc.architectures.family import ConfigReader, EncoderConfig, Family, ModelType
from bertc.architectures.layers import Layer, embeddings
from bertc.architectures.model_builder import ModelBuilder


@dataclass(frozen=True, kw_only=True)
class _Config(EncoderConfig):
    attention_window: str
    """The tokens that each layer's attention sees, half of them on either side, separated by commas."""


def _read_config(reader: ConfigReader) -> _Config:
    config = roberta.read_config(reader)
    given: Any = reader.value("attention_window")
    windows = (
        given if isinstance(given, list) else [512 if given is None else given] * config.num_hidden_layers
    )
    valid = len(windows) == config.num_hidden_layers and all(
        type(each) is int and each > 0 and each % 2 == 0 for each in windows
    )
    reader.require(valid, f"attention_window is {given!r}, expected an even number, or one for each layer")
    return _Config(
        **dataclasses.asdict(config), attention_window=",".join(map(str, windows if valid else [2]))
    )


def _encoder(builder: ModelBuilder, config: _Config) -> str:
    x = builder.hidden_state(embeddings(builder, config))
    operands = {"places": builder.token_input("places")}
    for index, window in enumerate(config.attention_window.split(",")):
        layer = Layer(builder, config, f"encoder.layer.{index}", bias=operands, window=int(window) // 2)
        x = builder.hidden_state(layer.post_norm(x))
    return x


FAMILY = Family(
    model_types={"longformer": ModelType("Longformer", "LongformerTokenizer")},
    read_config=_read_config,
    encoder=_encoder,
    spellings={"masked_lm": roberta.LM_HEAD},
    lacks=("classification", "question_answering", "multiple_choice"),
)
"""The heads that it lacks give some tokens global attention, by matrices of its own."""
