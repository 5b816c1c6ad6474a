"""RoBERTa with norms before a layer's parts, as fairseq has it (Ott et al. 2019, arXiv:1904.01038)."""

from __future__ import annotations

from bertc.architectures import roberta
from bertc.architectures.family import EncoderConfig, Family, ModelType
from bertc.architectures.layers import LayerNames, embeddings, pre_norm_layers
from bertc.architectures.model_builder import ModelBuilder

_NAMES = LayerNames(attention_norm="attention.LayerNorm", output_norm="intermediate.LayerNorm")


def _encoder(builder: ModelBuilder, config: EncoderConfig) -> str:
    x = embeddings(builder, config)
    return pre_norm_layers(builder, config, x, names=_NAMES, norm="LayerNorm")


FAMILY = Family(
    model_types={"roberta-prelayernorm": ModelType("RobertaPreLayerNorm", "RobertaTokenizer")},
    read_config=roberta.read_config,
    encoder=_encoder,
    spellings=roberta.SPELLINGS,
)
