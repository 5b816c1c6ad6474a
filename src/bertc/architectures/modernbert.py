"""ModernBERT (Warner et al. 2024, arXiv:2412.13663): rotary positions, windows, gates, norms before."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass

from bertc.architectures import bert
from bertc.architectures.family import ConfigReader, EncoderConfig, Family, ModelType
from bertc.architectures.model_builder import ModelBuilder
from bertc.architectures.rope_scaling import Rope
from bertc.architectures.rotary import Angles, read_angles, require_pairs
from bertc.ports import CU_SEQLENS

_FULL, _SLIDING = "full_attention", "sliding_attention"
_THETA = {_FULL: ("global_rope_theta", 160_000.0), _SLIDING: ("local_rope_theta", 10_000.0)}
"""The key that says it in configs of transformers 4, and the usual value."""


@dataclass(frozen=True, kw_only=True)
class _Config(EncoderConfig):
    attention_bias: bool
    mlp_bias: bool
    local_attention: int
    """The tokens that a layer with a window sees, half of them on either side."""
    layer_types: str
    """The kind of each layer's attention, separated by commas."""
    rope_parameters: str
    """The angles of each kind of layers, as JSON."""

    def angles(self, kind: str) -> Angles:
        """The angles of one kind of layers."""
        rope = json.loads(self.rope_parameters)[kind]
        return Angles(self.max_position_embeddings, self.head_size, rope)


def _read_config(reader: ConfigReader) -> _Config:
    config = dataclasses.replace(
        bert.read_config(reader),
        type_vocab_size=0,
        max_position_embeddings=reader.size("max_position_embeddings", 8192),
        layer_norm_eps=reader.number("layer_norm_eps", 1e-5),
        norm_bias=reader.flag("norm_bias"),
        head_bias=reader.flag("classifier_bias"),
        decoder_bias=reader.flag("decoder_bias", default=True),
        head_activation=reader.choice("classifier_activation", bert.ACTIVATIONS, "gelu"),
        classifier_pooling=reader.choice("classifier_pooling", {"cls": "cls", "mean": "mean"}, "cls"),
    )
    require_pairs(reader, config)
    return _Config(
        **dataclasses.asdict(config),
        attention_bias=reader.flag("attention_bias"),
        mlp_bias=reader.flag("mlp_bias"),
        local_attention=reader.size("local_attention", 128, smallest=2),
        layer_types=",".join(_layer_types(reader, config.num_hidden_layers)),
        rope_parameters=json.dumps({kind: _rope(reader, config, kind) for kind in _THETA}),
    )


def _layer_types(reader: ConfigReader, layers: int) -> list[str]:
    """Return the kind of each layer: every third is global, unless the config says otherwise."""
    every = reader.size("global_attn_every_n_layers", 3)
    found = reader.value("layer_types")
    if found is None:
        return [_SLIDING if index % every else _FULL for index in range(layers)]
    valid = isinstance(found, list) and len(found) == layers and all(each in _THETA for each in found)
    reader.require(valid, f"layer_types is {found!r}, expected {_FULL} or {_SLIDING} for each layer")
    return [str(each) for each in found] if valid else []


def _rope(reader: ConfigReader, config: EncoderConfig, kind: str) -> Rope:
    """Return the angles of one kind of layers; transformers 4 had a key for each kind."""
    key, usual = _THETA[kind]
    by_kind = reader.value("rope_parameters") or {}
    given = by_kind.get(kind) if isinstance(by_kind, dict) else by_kind
    given = given or reader.value("rope_scaling") or {}
    return read_angles(reader, config, given, reader.number(key, usual))


def _encoder(builder: ModelBuilder, config: _Config) -> str:
    word = "embeddings.tok_embeddings"
    x = builder.embedding(word, "word", config.vocab_size, config.embedding_size)
    x = _norm(builder, config, "embeddings.norm", x)
    for index, kind in enumerate(config.layer_types.split(",")):
        builder.hidden_state(x)
        name = f"layers.{index}"
        normed = x if index == 0 else _norm(builder, config, f"{name}.attn_norm", x)
        x = builder.add(f"{name}.attn.add", _attend(builder, config, f"{name}.attn", kind, normed), x)
        normed = _norm(builder, config, f"{name}.mlp_norm", x)
        x = builder.add(f"{name}.mlp.add", _feed_forward(builder, config, f"{name}.mlp", normed), x)
    return builder.hidden_state(_norm(builder, config, "final_norm", x))


def _norm(builder: ModelBuilder, config: _Config, name: str, x: str) -> str:
    return builder.layer_norm(name, x, config.layer_norm_eps, bias=config.norm_bias)


def _attend(builder: ModelBuilder, config: _Config, name: str, kind: str, x: str) -> str:
    width, window = config.hidden_size, config.local_attention // 2 if kind == _SLIDING else 0
    operands = {
        part: builder.linear(
            f"{name}.Wqkv.{part}",
            x,
            width,
            module=f"{name}.Wqkv",
            part=(index, 3),
            bias=config.attention_bias,
        )
        for index, part in enumerate(("query", "key", "value"))
    }
    operands |= {
        "cu_seqlens": CU_SEQLENS,
        "rotary": builder.constant(f"rotary.{kind}", config.angles(kind)),
        "position_ids": builder.token_input("position_ids"),
        **({"places": builder.token_input("places")} if window else {}),
    }
    context = builder.op(
        "attention",
        name,
        operands,
        num_attention_heads=config.num_attention_heads,
        scale=1.0 / math.sqrt(width // config.num_attention_heads),
        **({"window": window} if window else {}),
    )
    return builder.linear(f"{name}.Wo", context, width, bias=config.attention_bias)


def _feed_forward(builder: ModelBuilder, config: _Config, name: str, x: str) -> str:
    gate, value = (
        builder.linear(
            f"{name}.Wi.{part}",
            x,
            config.intermediate_size,
            module=f"{name}.Wi",
            part=(index, 2),
            bias=config.mlp_bias,
        )
        for index, part in enumerate(("gate", "value"))
    )
    gate = builder.activation(config.activation, f"{name}.activation", gate)
    inner = builder.multiply(f"{name}.multiply", gate, value)
    return builder.linear(f"{name}.Wo", inner, config.hidden_size, bias=config.mlp_bias)


_HEAD = {"dense": "head.dense", "layer_norm": "head.norm", "output": "classifier"}
FAMILY = Family(
    model_types={"modernbert": ModelType("ModernBert", "PreTrainedTokenizerFast")},
    read_config=_read_config,
    encoder=_encoder,
    config_keys={"hidden_act": "hidden_activation", "layer_norm_eps": "norm_eps"},
    spellings={
        "classification": _HEAD,
        "multiple_choice": _HEAD,
        "token_classification": _HEAD,
        "question_answering": _HEAD,
        "masked_lm": {
            "dense": "head.dense",
            "layer_norm": "head.norm",
            "decoder": "decoder",
            "bias": "decoder.bias",
            "words": "embeddings.tok_embeddings",
        },
    },
)
