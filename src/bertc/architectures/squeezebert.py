"""SqueezeBERT (Iandola et al. 2020, arXiv:2006.11316): BERT whose dense layers go by groups of channels.

They are computed as dense layers with zeros between groups.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from bertc.architectures import bert
from bertc.architectures.family import ConfigReader, EncoderConfig, Family, ModelType
from bertc.architectures.layers import Layer, LayerNames, embeddings, post_norm_layers
from bertc.architectures.model_builder import ModelBuilder

Array = np.ndarray[Any, Any]

_NAMES = LayerNames(
    query="attention.query",
    key="attention.key",
    value="attention.value",
    attention="attention",
    attention_output="post_attention.conv1d",
    attention_norm="post_attention.layernorm",
    intermediate="intermediate.conv1d",
    output="output.conv1d",
    output_norm="output.layernorm",
)
_GROUPS = {
    _NAMES.query: ("q_groups", 4),
    _NAMES.key: ("k_groups", 4),
    _NAMES.value: ("v_groups", 4),
    _NAMES.attention_output: ("post_attention_groups", 1),
    _NAMES.intermediate: ("intermediate_groups", 4),
    _NAMES.output: ("output_groups", 4),
}
"""The key of the config that says the number of groups of a dense layer, and the usual one."""
_EPSILON = 1e-12
"""That of the norms of layers, whatever the config says: ``transformers`` knows no other."""


@dataclass(frozen=True, kw_only=True)
class _Config(EncoderConfig):
    groups: str
    """The number of groups of each dense layer, as JSON."""


@dataclass(frozen=True)
class _Layer(Layer):
    config: _Config

    def _linear(self, name: str, x: str, out_features: int) -> str:
        module, columns = f"{self.name}.{name}", self.builder.columns(x)
        groups = json.loads(self.config.groups)[name]
        weight = self.builder.derived(
            f"{module}.matrix",
            (out_features, columns),
            {f"{module}.weight": (out_features, columns // groups, 1)},
            functools.partial(_between_zeros, groups),
        )
        return self.builder.linear(module, x, out_features, weight=weight)


def _between_zeros(groups: int, weight: Array) -> Array:
    """Return the matrix [out, in] of a convolution of length 1 by groups, [out, in / groups, 1]."""
    rows, columns = len(weight) // groups, weight.shape[1]
    matrix = np.zeros((len(weight), groups * columns), np.float32)
    for group in range(groups):
        own = slice(group * rows, (group + 1) * rows)
        matrix[own, group * columns : (group + 1) * columns] = weight[own, :, 0]
    return matrix


def _read_config(reader: ConfigReader) -> _Config:
    config = bert.read_config(reader)
    groups = {name: reader.size(key, usual) for name, (key, usual) in _GROUPS.items()}
    uneven = [
        _GROUPS[name][0]
        for name, count in groups.items()
        if config.hidden_size % count
        or (name in (_NAMES.intermediate, _NAMES.output) and config.intermediate_size % count)
    ]
    reader.require(not uneven, f"{', '.join(uneven)}: channels do not divide into such groups")
    width = reader.value("embedding_size") or config.hidden_size
    reader.require(width == config.hidden_size, f"embedding_size is {width!r}, expected {config.hidden_size}")
    return _Config(**dataclasses.asdict(config), groups=json.dumps(groups))


def _encoder(builder: ModelBuilder, config: _Config) -> str:
    x = embeddings(builder, config)
    config = dataclasses.replace(config, layer_norm_eps=_EPSILON)
    return post_norm_layers(builder, config, x, prefix="encoder.layers", names=_NAMES, kind=_Layer)


FAMILY = Family(
    model_types={"squeezebert": ModelType("SqueezeBert", "SqueezeBertTokenizer")},
    read_config=_read_config,
    encoder=_encoder,
)
