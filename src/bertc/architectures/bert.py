"""BERT (Devlin et al. 2018, arXiv:1810.04805), as ``transformers`` writes it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from bertc.architectures.base import ConfigReader, EncoderConfig, Family, Head
from bertc.architectures.builder import GraphBuilder
from bertc.ir.graph import Graph

Array = np.ndarray[Any, Any]

_ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
}


def _read_config(config: Mapping[str, Any]) -> EncoderConfig:
    reader = ConfigReader(config)
    sizes = EncoderConfig(
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
    if sizes.hidden_size % sizes.num_attention_heads and not reader.problems:
        reader.problems.append(
            f"hidden_size {sizes.hidden_size} is not a multiple of "
            f"num_attention_heads {sizes.num_attention_heads}"
        )
    reader.finish()
    return sizes


def _tensor_shapes(config: EncoderConfig, head: Head) -> dict[str, tuple[int, ...]]:
    hidden, intermediate = config.hidden_size, config.intermediate_size
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (config.vocab_size, hidden),
        "embeddings.position_embeddings.weight": (config.max_position_embeddings, hidden),
        "embeddings.token_type_embeddings.weight": (config.type_vocab_size, hidden),
    }

    def pair(name: str, *weight: int) -> None:
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = weight, weight[:1]

    pair("embeddings.LayerNorm", hidden)
    for i in range(config.num_hidden_layers):
        layer = f"encoder.layer.{i}"
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            pair(f"{layer}.attention.{part}", hidden, hidden)
        pair(f"{layer}.attention.output.LayerNorm", hidden)
        pair(f"{layer}.intermediate.dense", intermediate, hidden)
        pair(f"{layer}.output.dense", hidden, intermediate)
        pair(f"{layer}.output.LayerNorm", hidden)
    if head.with_pooler:
        pair("pooler.dense", hidden, hidden)
    if head.task != "embedding":
        pair("classifier", head.num_labels, hidden)
    return shapes


def _build(config: EncoderConfig, head: Head, tensors: Mapping[str, Array]) -> Graph:
    builder = GraphBuilder(tensors)
    x = _embeddings(builder, config)
    for i in range(config.num_hidden_layers):
        x = _layer(builder, config, f"encoder.layer.{i}", x)
    return builder.graph(_HEADS[head.task](builder, head, x))


def _embeddings(builder: GraphBuilder, config: EncoderConfig) -> str:
    word = builder.embedding("embeddings.word_embeddings", "input_ids")
    token_type = builder.embedding("embeddings.token_type_embeddings", "token_type_ids")
    position = builder.embedding("embeddings.position_embeddings", "position_ids")
    partial = builder.op("add", "embeddings.add_token_type", word, token_type)
    total = builder.op("add", "embeddings.add_position", partial, position)
    return builder.layer_norm("embeddings.LayerNorm", total, config.layer_norm_eps)


def _layer(builder: GraphBuilder, config: EncoderConfig, layer: str, x: str) -> str:
    query, key, value = (
        builder.linear(f"{layer}.attention.self.{part}", x) for part in ("query", "key", "value")
    )
    context = builder.op(
        "attention",
        f"{layer}.attention.self",
        *(query, key, value, "cu_seqlens"),
        num_attention_heads=config.num_attention_heads,
        scale=1.0 / math.sqrt(config.hidden_size // config.num_attention_heads),
    )
    x = _add_and_norm(builder, config, f"{layer}.attention.output", context, x)
    inner = builder.linear(f"{layer}.intermediate.dense", x)
    inner = builder.op(config.activation, f"{layer}.intermediate.intermediate_act_fn", inner)
    return _add_and_norm(builder, config, f"{layer}.output", inner, x)


def _add_and_norm(builder: GraphBuilder, config: EncoderConfig, name: str, x: str, residual: str) -> str:
    dense = builder.linear(f"{name}.dense", x)
    total = builder.op("add", f"{name}.add", dense, residual)
    return builder.layer_norm(f"{name}.LayerNorm", total, config.layer_norm_eps)


def _pooler(builder: GraphBuilder, x: str) -> str:
    first = builder.op("pool", "pooler.first_token", x, "cu_seqlens", mode="cls")
    return builder.op("tanh", "pooler.activation", builder.linear("pooler.dense", first))


def _embedding_outputs(builder: GraphBuilder, head: Head, x: str) -> dict[str, str]:
    outputs = {"last_hidden_state": x}
    if head.with_pooler:
        outputs["pooler_output"] = _pooler(builder, x)
    if head.pooling == "pooler":
        sentence = outputs["pooler_output"]
    else:
        sentence = builder.op("pool", "sentence.pooling", x, "cu_seqlens", mode=head.pooling)
    if head.normalize:
        sentence = builder.op("normalize", "sentence.normalize", sentence)
    return {**outputs, "sentence_embedding": sentence}


def _classification_outputs(builder: GraphBuilder, _: Head, x: str) -> dict[str, str]:
    return {"logits": builder.linear("classifier", _pooler(builder, x))}


def _token_classification_outputs(builder: GraphBuilder, _: Head, x: str) -> dict[str, str]:
    return {"logits": builder.linear("classifier", x)}


_HEADS = {
    "embedding": _embedding_outputs,
    "classification": _classification_outputs,
    "token_classification": _token_classification_outputs,
}

FAMILY = Family(
    model_type="bert",
    prefix="bert.",
    tasks={
        "BertModel": "embedding",
        "BertForSequenceClassification": "classification",
        "BertForTokenClassification": "token_classification",
    },
    read_config=_read_config,
    tensor_shapes=_tensor_shapes,
    build=_build,
)
