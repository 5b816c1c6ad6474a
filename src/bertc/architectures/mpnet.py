"""MPNet (Song et al. 2020, arXiv:2004.09297): RoBERTa's embeddings and heads, and a bias by distance."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from bertc.architectures import bert, roberta
from bertc.architectures.family import ConfigReader, EncoderConfig, Family, ModelType
from bertc.architectures.layers import LayerNames, embeddings, post_norm_layers
from bertc.architectures.model_builder import ModelBuilder

Array = np.ndarray[Any, Any]

_NAMES = LayerNames(
    query="attention.attn.q",
    key="attention.attn.k",
    value="attention.attn.v",
    attention="attention.attn",
    attention_output="attention.attn.o",
    attention_norm="attention.LayerNorm",
)
_BUCKETS = 32
"""The buckets of distances, whatever the config says: ``transformers`` knows no other number."""
_NEAREST = (*range(8), *(math.ceil(8 * 2 ** (i / 2)) for i in range(8)))
"""The smallest distance of each bucket on one side: eight distances of their own, then two buckets to each
octave (Raffel et al. 2020, arXiv:1910.10683, sec. 2.1), the last from 91 on."""


@dataclass(frozen=True, kw_only=True)
class _Config(EncoderConfig):
    relative_attention_num_buckets: int
    """The rows of the table of biases, of which the first 32 are used."""


def _read_config(reader: ConfigReader) -> _Config:
    sizes = dataclasses.asdict(bert.read_config(reader))
    sizes.update(type_vocab_size=0, first_position=2)
    buckets = reader.size("relative_attention_num_buckets", _BUCKETS, smallest=_BUCKETS)
    return _Config(**sizes, relative_attention_num_buckets=buckets)


def by_distance(table: Array) -> Array:
    """Return the bias [heads, 183] for keys 91 tokens before the query to 91 after it, of that by bucket.

    ``table`` is [buckets, heads]: 16 buckets of keys at or before the query, then 16 of keys after it.
    """
    distances = np.arange(-_NEAREST[-1], _NEAREST[-1] + 1)
    buckets = np.searchsorted(_NEAREST, np.abs(distances), side="right") - 1
    return np.ascontiguousarray(table[np.where(distances > 0, buckets + _BUCKETS // 2, buckets)].T)


def _encoder(builder: ModelBuilder, config: _Config) -> str:
    heads = config.num_attention_heads
    table = {"encoder.relative_attention_bias.weight": (config.relative_attention_num_buckets, heads)}
    bias = builder.derived("distance_bias", (heads, 2 * _NEAREST[-1] + 1), table, by_distance)
    x = embeddings(builder, config)
    return post_norm_layers(builder, config, x, names=_NAMES, bias={"distance_bias": bias})


FAMILY = Family(
    model_types={"mpnet": ModelType("MPNet", "MPNetTokenizer")},
    read_config=_read_config,
    encoder=_encoder,
    spellings=roberta.SPELLINGS,
)
