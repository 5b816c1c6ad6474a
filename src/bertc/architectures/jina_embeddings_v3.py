"""jina-embeddings-v3 (Sturua et al. 2024, arXiv:2409.10173): XLM-RoBERTa with rotary positions."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from bertc.architectures import bert, gte, roberta
from bertc.architectures.family import ConfigReader, Family, ModelType
from bertc.architectures.model_builder import ModelBuilder
from bertc.architectures.rotary import RotaryConfig, read_rotary

_NAMES = dataclasses.replace(gte.NAMES, gate="", intermediate="mlp.fc1", output="mlp.fc2", unbiased=())


def _read_config(reader: ConfigReader) -> RotaryConfig:
    config = dataclasses.replace(
        bert.read_config(reader, ("rotary", "absolute")),
        max_position_embeddings=reader.size("max_position_embeddings", 8194),
        type_vocab_size=reader.size("type_vocab_size", 1),
        layer_norm_eps=reader.number("layer_norm_eps", 1e-5),
    )
    return read_rotary(reader, config, 20_000.0)


def _encoder(builder: ModelBuilder, config: RotaryConfig) -> str:
    return gte.encoder(builder, config, _NAMES)


def _translate(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Read what jinaai/xlm-roberta-flash-implementation writes; its LoRA class is the encoder.

    Its config class has no ``model_type``, which jina-reranker-v2 lacks therefore. Without rotary positions
    it is XLM-RoBERTa with other names of tensors.
    """
    model_type = config.get("model_type")
    if model_type is None and "XLMRobertaFlashConfig" in str(config.get("auto_map")):
        model_type = "xlm-roberta"
    if model_type != "xlm-roberta":
        return None
    if config.get("position_embedding_type") != "rotary":
        return None if config.get("model_type") else {**config, "model_type": model_type}
    classes = [str(each).replace("LoRA", "Model") for each in config.get("architectures") or ()]
    return {
        **config,
        "model_type": "jina_embeddings_v3",
        "architectures": [each.replace("XLMRoberta", "JinaEmbeddingsV3") for each in classes],
        "rope_theta": config.get("rotary_emb_base", 10_000.0),
    }


FAMILY = Family(
    model_types={"jina_embeddings_v3": ModelType("JinaEmbeddingsV3", "XLMRobertaTokenizer")},
    read_config=_read_config,
    encoder=_encoder,
    spellings=roberta.SPELLINGS,
    lacks=("multiple_choice",),
    renames={
        "encoder.layers": "layers",
        "emb_ln": "embeddings.LayerNorm",
        "mixer.Wqkv": gte.QKV,
        "mixer.out_proj": gte.NAMES.attention_output,
        "norm1": gte.NAMES.attention_norm,
        "norm2": gte.NAMES.output_norm,
    },
    translate=_translate,
)
