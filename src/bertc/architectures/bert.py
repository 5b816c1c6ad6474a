"""BERT (Devlin et al. 2018, arXiv:1810.04805), as ``transformers`` writes it."""

from __future__ import annotations

from bertc.architectures.family import ConfigReader, EncoderConfig, Family, ModelType
from bertc.architectures.layers import embeddings, post_norm_layers
from bertc.architectures.model_builder import ModelBuilder

ACTIVATIONS = {
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


def read_config(reader: ConfigReader, positions: tuple[str, ...] = ("absolute",)) -> EncoderConfig:
    """Sizes and options; also of families that differ from BERT in a few of them.

    ``positions`` are the names of the family's kinds of positions, the usual one first.
    """
    hidden_size = reader.size("hidden_size")
    config = EncoderConfig(
        hidden_size=hidden_size,
        embedding_size=hidden_size,
        num_hidden_layers=reader.size("num_hidden_layers"),
        num_attention_heads=reader.size("num_attention_heads"),
        intermediate_size=reader.size("intermediate_size"),
        vocab_size=reader.size("vocab_size"),
        max_position_embeddings=reader.size("max_position_embeddings", 512),
        type_vocab_size=reader.size("type_vocab_size", 2, smallest=0),
        layer_norm_eps=reader.number("layer_norm_eps", 1e-12),
        activation=reader.choice("hidden_act", ACTIVATIONS, "gelu"),
    )
    reader.choice("position_embedding_type", dict.fromkeys(positions, ""), positions[0])
    reader.absent("is_decoder", "only encoders are supported")
    reader.absent("add_cross_attention", "only encoders are supported")
    reader.absent("pruned_heads", "pruned attention heads are not supported")
    reader.require(
        config.hidden_size % config.num_attention_heads == 0,
        f"hidden_size {config.hidden_size} is not a multiple of "
        f"num_attention_heads {config.num_attention_heads}",
    )
    return config


def encoder(builder: ModelBuilder, config: EncoderConfig) -> str:
    """Embeddings and layers, post-norm; also of families that share them."""
    return post_norm_layers(builder, config, embeddings(builder, config))


FAMILY = Family(
    model_types={"bert": ModelType("Bert", "BertTokenizer")},
    read_config=read_config,
    encoder=encoder,
    spellings={"next_sentence": {}, "pretraining": {}},
)
