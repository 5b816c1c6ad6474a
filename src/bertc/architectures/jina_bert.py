"""JinaBERT v2 (Guenther et al. 2023, arXiv:2310.19923): BERT with gates, whose scores fall with the distance.

Its code is on the hub (``jinaai/jina-bert-implementation``), and is never run: the names of tensors and the
keys of config.json are all that is read.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bertc.architectures import bert
from bertc.architectures.family import ConfigReader, EncoderConfig, Family, ModelType
from bertc.architectures.layers import (
    Layer,
    LayerNames,
    embeddings,
    post_norm_layers,
    problem_of_normed_heads,
)
from bertc.architectures.model_builder import ModelBuilder
from bertc.errors import CheckpointError

Array = np.ndarray[Any, Any]

_GATED = LayerNames(
    gate="mlp.gate",
    intermediate="mlp.value",
    output="mlp.wo",
    output_norm="mlp.layernorm",
    unbiased=("mlp.gate", "mlp.value"),
)
_NORMED = dataclasses.replace(
    _GATED, query_norm="attention.self.layer_norm_q", key_norm="attention.self.layer_norm_k"
)
"""The names of jina-bert-v2-qk-post-norm, as in jina-embeddings-v2-base-code."""
_SECOND_NORM = "layer_norm_1"
"""That of the sum of a layer's input and what is normed behind its attention."""
_PLAIN = "original"
_ACTIVATIONS = {_PLAIN: "", "geglu": "gelu", "reglu": "relu"}


@dataclass(frozen=True, kw_only=True)
class _Config(EncoderConfig):
    feed_forward_activation: str
    """That of gates; "" where layers have none."""


def alibi_slopes(heads: int) -> Array:
    """Return what the scores of each head lose for each token of distance: float32 [heads].

    For a power of two, powers of ``2^(-8 / heads)`` from the first on (Press et al. 2022, arXiv:2108.12409,
    sec. 3); for others those of the power of two below, and every other one of twice as many.
    """
    power = 1 << (heads.bit_length() - 1)
    exponents = [*np.arange(1, power + 1) / power, *np.arange(1, 2 * (heads - power), 2) / (2 * power)]
    return np.asarray(2.0 ** (-8 * np.array(exponents)), np.float32)


def _read_config(reader: ConfigReader) -> _Config:
    config = bert.read_config(reader, ("alibi",))
    activation = reader.choice("feed_forward_type", _ACTIVATIONS, _PLAIN)
    return _Config(**dataclasses.asdict(config), feed_forward_activation=activation)


def _encoder(builder: ModelBuilder, config: _Config) -> str:
    x = embeddings(builder, dataclasses.replace(config, max_position_embeddings=0))
    bias = {"slopes": builder.constant("slopes", alibi_slopes(config.num_attention_heads))}
    gate = config.feed_forward_activation
    config = dataclasses.replace(config, activation=gate or config.activation)
    if builder.is_sound(f"encoder.layer.0.{_NORMED.query_norm}"):
        if problem := problem_of_normed_heads(config, 16):
            raise CheckpointError(f"config.json: {problem}")
        return post_norm_layers(builder, config, x, names=_NORMED, bias=bias, kind=_NormedTwice)
    return post_norm_layers(builder, config, x, names=_GATED if gate else LayerNames(), bias=bias)


@dataclass(frozen=True)
class _NormedTwice(Layer):
    def post_norm(self, x: str) -> str:
        attended = self._norm(self.names.attention_norm, self._attend(x, x))
        attended = self._norm(_SECOND_NORM, self.builder.add(f"{self.name}.add", attended, x))
        return self._norm(self.names.output_norm, self._feed_forward(attended, attended))


def _translate(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Read what code on the hub writes under BERT's name."""
    if config.get("model_type") != "bert" or config.get("position_embedding_type") != "alibi":
        return None
    classes = [str(each) for each in config.get("architectures") or ()]
    classes = [each if each.startswith("Jina") else f"Jina{each}" for each in classes]
    return {**config, "model_type": "jina_bert", "architectures": classes}


FAMILY = Family(
    model_types={"jina_bert": ModelType("JinaBert", "BertTokenizer")},
    read_config=_read_config,
    encoder=_encoder,
    spellings=bert.FAMILY.spellings,
    renames={
        **bert.FAMILY.renames,
        "mlp.gated_layers": (_GATED.gate, _GATED.intermediate),
        "mlp.up_gated_layer": (_GATED.intermediate, _GATED.gate),
        "mlp.down_layer": _GATED.output,
        "layer_norm_2": _GATED.output_norm,
    },
    translate=_translate,
)
