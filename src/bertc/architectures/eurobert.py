"""EuroBERT (Boizard et al. 2025, arXiv:2503.05500): Llama's layers without a mask; also what has them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bertc.architectures import bert
from bertc.architectures.family import ConfigReader, EncoderConfig, Family, ModelType
from bertc.architectures.layers import Layer, LayerNames
from bertc.architectures.model_builder import ModelBuilder
from bertc.architectures.rotary import Angles, read_one, require_pairs

FULL, SLIDING = "full_attention", "sliding_attention"
NAMES = LayerNames(
    query="self_attn.q_proj",
    key="self_attn.k_proj",
    value="self_attn.v_proj",
    attention="self_attn",
    attention_output="self_attn.o_proj",
    attention_norm="input_layernorm",
    gate="mlp.gate_proj",
    intermediate="mlp.up_proj",
    output="mlp.down_proj",
    output_norm="post_attention_layernorm",
)
"""What ``transformers`` calls the parts of Llama's layers."""
_BIASES = {
    "attention_bias": (NAMES.query, NAMES.key, NAMES.value, NAMES.attention_output),
    "mlp_bias": (NAMES.gate, NAMES.intermediate, NAMES.output),
}
"""The dense layers that have a bias if a key of the config says so."""


@dataclass(frozen=True, kw_only=True)
class Config(EncoderConfig):
    """The config of an encoder of Llama's layers."""

    attention_bias: bool
    mlp_bias: bool
    rope_parameters: str = ""
    """The angles of each kind of layers, as JSON."""
    layer_types: str = ""
    """The kind of each layer's attention, separated by commas; "" where all see everything."""
    sliding_window: int = 0
    """The tokens on either side that a layer with a window sees."""


def read_sizes(
    reader: ConfigReader, *, positions: int, epsilon: float, poolings: Mapping[str, str]
) -> Config:
    """Return a config without angles.

    ``positions`` and ``epsilon`` are the usual ones, ``poolings`` the values of ``classifier_pooling``, the
    usual one first, and what they are for heads.
    """
    config = bert.read_config(reader)
    heads, sharers = config.num_attention_heads, _optional(reader, "num_key_value_heads")
    reader.require(
        not sharers or heads % sharers == 0,
        f"num_attention_heads {heads} is not a multiple of num_key_value_heads {sharers}",
    )
    config = dataclasses.replace(
        config,
        type_vocab_size=0,
        max_position_embeddings=reader.size("max_position_embeddings", positions),
        layer_norm_eps=reader.number("layer_norm_eps", epsilon),
        activation=reader.choice("hidden_act", bert.ACTIVATIONS, "silu"),
        norm_bias=False,
        rms_norm=True,
        decoder_bias=reader.flag("mlp_bias"),
        classifier_pooling=reader.choice("classifier_pooling", poolings, next(iter(poolings))),
        num_key_value_heads=0 if sharers == heads else sharers,
        head_dim=_optional(reader, "head_dim"),
    )
    require_pairs(reader, config)
    return Config(
        **dataclasses.asdict(config),
        attention_bias=reader.flag("attention_bias"),
        mlp_bias=reader.flag("mlp_bias"),
    )


def _read_config(reader: ConfigReader) -> Config:
    config = read_sizes(reader, positions=8192, epsilon=1e-5, poolings=_POOLINGS)
    rope = {FULL: read_one(reader, config, 10_000.0)}
    return dataclasses.replace(config, rope_parameters=json.dumps(rope))


def _optional(reader: ConfigReader, key: str) -> int:
    """Return a size, 0 where the config has none."""
    return 0 if reader.value(key) is None else reader.size(key)


def encoder(builder: ModelBuilder, config: Config) -> str:
    """Embeddings without a norm, and layers with norms before their parts, each kind with its angles."""
    rope = json.loads(config.rope_parameters)
    kinds = config.layer_types.split(",") if config.layer_types else [FULL] * config.num_hidden_layers
    angles = {
        kind: builder.constant(
            f"rotary.{kind}", Angles(config.max_position_embeddings, config.head_size, rope[kind])
        )
        for kind in dict.fromkeys(kinds)
    }
    unbiased = (name for key, names in _BIASES.items() if not getattr(config, key) for name in names)
    names = dataclasses.replace(NAMES, unbiased=tuple(unbiased))
    x = builder.embedding("embed_tokens", "word", config.vocab_size, config.embedding_size)
    for index, kind in enumerate(kinds):
        builder.hidden_state(x)
        operands = {"rotary": angles[kind], "position_ids": builder.token_input("position_ids")}
        window = config.sliding_window if kind == SLIDING else 0
        if window:
            operands["places"] = builder.token_input("places")
        x = Layer(builder, config, f"layers.{index}", names, bias=operands, window=window).pre_norm(x)
    return builder.hidden_state(builder.layer_norm("norm", x, config.layer_norm_eps, bias=False, rms=True))


def _translate(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Read what code on the hub writes: the first of EuroBERT, and that of jina-embeddings-v5-text-nano."""
    if config.get("model_type") != "eurobert":
        return None
    classes = [
        str(each).replace("JinaEmbeddingsV5", "EuroBert") for each in config.get("architectures") or ()
    ]
    pooling = {"classifier_pooling": config["clf_pooling"]} if "clf_pooling" in config else {}
    return {**pooling, **config, "architectures": classes}


_POOLINGS = {"late": "late", "bos": "cls", "mean": "mean"}
FAMILY = Family(
    model_types={"eurobert": ModelType("EuroBert", "PreTrainedTokenizerFast")},
    read_config=_read_config,
    encoder=encoder,
    config_keys={"layer_norm_eps": "rms_norm_eps"},
    spellings={
        "classification": {"dense": "dense", "activation": "gelu"},
        "masked_lm": {"dense": "", "decoder": "lm_head", "bias": "lm_head.bias", "words": "embed_tokens"},
    },
    lacks=("question_answering", "multiple_choice"),
    translate=_translate,
)
