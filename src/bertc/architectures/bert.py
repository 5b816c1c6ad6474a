"""BERT (Devlin et al. 2018, arXiv:1810.04805), as ``transformers`` writes it."""

from __future__ import annotations

import math

from bertc.architectures.family import ConfigReader, EncoderConfig, Family
from bertc.architectures.model_builder import ModelBuilder
from bertc.ports import CU_SEQLENS

_ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "quick_gelu": "quick_gelu",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
    "mish": "mish",
    "tanh": "tanh",
}


def read_config(reader: ConfigReader) -> EncoderConfig:
    """Sizes and options; also of families that differ from BERT in a few of them."""
    config = EncoderConfig(
        hidden_size=reader.size("hidden_size"),
        num_hidden_layers=reader.size("num_hidden_layers"),
        num_attention_heads=reader.size("num_attention_heads"),
        intermediate_size=reader.size("intermediate_size"),
        vocab_size=reader.size("vocab_size"),
        max_position_embeddings=reader.size("max_position_embeddings", 512),
        type_vocab_size=reader.size("type_vocab_size", 2),
        layer_norm_eps=reader.number("layer_norm_eps", 1e-12),
        activation=reader.choice("hidden_act", _ACTIVATIONS, "gelu"),
    )
    reader.choice("position_embedding_type", {"absolute": "absolute"}, "absolute")
    reader.absent("is_decoder", "only encoders are supported")
    reader.absent("add_cross_attention", "only encoders are supported")
    reader.absent("pruned_heads", "pruned attention heads are not supported")
    if config.hidden_size % config.num_attention_heads and not reader.problems:
        reader.problems.append(
            f"hidden_size {config.hidden_size} is not a multiple of "
            f"num_attention_heads {config.num_attention_heads}"
        )
    return config


def encoder(builder: ModelBuilder, config: EncoderConfig) -> str:
    """Embeddings and layers, post-norm; also of families that share them."""
    x = builder.hidden_state(_embeddings(builder, config))
    for i in range(config.num_hidden_layers):
        x = builder.hidden_state(_layer(builder, config, f"encoder.layer.{i}", x))
    return x


def _embeddings(builder: ModelBuilder, config: EncoderConfig) -> str:
    width = config.hidden_size
    word = builder.embedding("embeddings.word_embeddings", "word", config.vocab_size, width)
    token_type = builder.embedding(
        "embeddings.token_type_embeddings", "token_type", config.type_vocab_size, width
    )
    position = builder.embedding(
        "embeddings.position_embeddings",
        "position",
        config.max_position_embeddings,
        width,
        first_position=config.first_position,
    )
    partial = builder.add("embeddings.add_token_type", word, token_type)
    total = builder.add("embeddings.add_position", partial, position)
    return builder.layer_norm("embeddings.LayerNorm", total, config.layer_norm_eps)


def _layer(builder: ModelBuilder, config: EncoderConfig, layer: str, x: str) -> str:
    query, key, value = (
        builder.linear(f"{layer}.attention.self.{part}", x, config.hidden_size)
        for part in ("query", "key", "value")
    )
    context = builder.op(
        "attention",
        f"{layer}.attention.self",
        {"query": query, "key": key, "value": value, "cu_seqlens": CU_SEQLENS},
        num_attention_heads=config.num_attention_heads,
        scale=1.0 / math.sqrt(config.hidden_size // config.num_attention_heads),
    )
    x = _add_and_norm(builder, config, f"{layer}.attention.output", context, x)
    inner = builder.linear(f"{layer}.intermediate.dense", x, config.intermediate_size)
    inner = builder.activation(config.activation, f"{layer}.intermediate.intermediate_act_fn", inner)
    return _add_and_norm(builder, config, f"{layer}.output", inner, x)


def _add_and_norm(builder: ModelBuilder, config: EncoderConfig, name: str, x: str, residual: str) -> str:
    dense = builder.linear(f"{name}.dense", x, config.hidden_size)
    total = builder.add(f"{name}.add", dense, residual)
    return builder.layer_norm(f"{name}.LayerNorm", total, config.layer_norm_eps)


FAMILY = Family(
    matches={"bert": "Bert"},
    read_config=read_config,
    encoder=encoder,
)
