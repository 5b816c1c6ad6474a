"""ESM Cambrian (``transformers``, ``esmc``): Llama's layers without a mask, norms of queries and keys."""

from __future__ import annotations

import dataclasses
import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from bertc.architectures import bert, eurobert, roberta
from bertc.architectures.family import ConfigReader, Family, ModelType
from bertc.architectures.layers import Layer, pre_norm_layers, problem_of_normed_heads
from bertc.architectures.model_builder import ModelBuilder
from bertc.architectures.rotary import RotaryConfig, read_rotary

Array = np.ndarray[Any, Any]

_NORM, _QUERY_NORM, _KEY_NORM = "norm", "self_attn.q_norm", "self_attn.k_norm"
_LLAMA = eurobert.NAMES
_NAMES = dataclasses.replace(
    _LLAMA,
    query_norm=_QUERY_NORM,
    key_norm=_KEY_NORM,
    unbiased=(
        *(_LLAMA.query, _LLAMA.key, _LLAMA.value, _LLAMA.attention_output),
        *(_LLAMA.gate, _LLAMA.intermediate, _LLAMA.output, _QUERY_NORM, _KEY_NORM, _NORM),
    ),
)
_LAYERS = 36
"""The number of layers of a model whose sums are not scaled."""


@dataclass(frozen=True)
class _Layer(Layer):
    def _linear(self, name: str, x: str, out_features: int) -> str:
        if name not in (_NAMES.attention_output, _NAMES.output):
            return super()._linear(name, x, out_features)
        module, shape = f"{self.name}.{name}", (out_features, self.builder.columns(x))
        scale = math.sqrt(self.config.num_hidden_layers / _LAYERS)
        scaled = functools.partial(_divided, scale)
        weight = self.builder.derived(f"{module}.scaled", shape, {f"{module}.weight": shape}, scaled)
        return self.builder.linear(module, x, out_features, bias=False, weight=weight)


def _divided(scale: float, weight: Array) -> Array:
    return weight / np.float32(scale)


def _read_config(reader: ConfigReader) -> RotaryConfig:
    config = dataclasses.replace(
        bert.read_config(reader),
        max_position_embeddings=reader.size("max_position_embeddings", 2048),
        type_vocab_size=0,
        layer_norm_eps=1e-5,
        activation=reader.choice("hidden_act", bert.ACTIVATIONS, "silu"),
    )
    for key in ("attention_bias", "mlp_bias"):
        reader.absent(key, "only layers without biases are supported")
    problem = problem_of_normed_heads(config, 32)  # each half of the columns that are turned has 16
    reader.require(not problem, problem)
    return read_rotary(reader, config, 10_000.0)


def _encoder(builder: ModelBuilder, config: RotaryConfig) -> str:
    x = builder.embedding("embed_tokens", "word", config.vocab_size, config.hidden_size)
    operands = config.operands(builder)
    return pre_norm_layers(
        builder, config, x, names=_NAMES, norm=_NORM, prefix="layers", bias=operands, kind=_Layer
    )


FAMILY = Family(
    model_types={"esmc": ModelType("Esmc", "EsmcTokenizer")},
    read_config=_read_config,
    encoder=_encoder,
    spellings={
        **roberta.SPELLINGS,
        "masked_lm": {**roberta.LM_HEAD, "bias": "lm_head.decoder.bias"},
        "token_classification": {"output": "score"},
    },
    lacks=("question_answering", "multiple_choice"),
)
