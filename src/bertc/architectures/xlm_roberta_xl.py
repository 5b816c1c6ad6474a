"""XLM-RoBERTa-XL (Goyal et al. 2021, arXiv:2105.00572): RoBERTa with norms before a layer's parts alone."""

from __future__ import annotations

from bertc.architectures import roberta
from bertc.architectures.family import EncoderConfig, Family, ModelType
from bertc.architectures.layers import LayerNames, embeddings, pre_norm_layers
from bertc.architectures.model_builder import ModelBuilder

_NAMES = LayerNames(attention_norm="attention.self_attn_layer_norm", output_norm="LayerNorm")


def _encoder(builder: ModelBuilder, config: EncoderConfig) -> str:
    x = embeddings(builder, config, norm=False)
    return pre_norm_layers(builder, config, x, names=_NAMES, norm="encoder.LayerNorm")


FAMILY = Family(
    model_types={"xlm-roberta-xl": ModelType("XLMRobertaXL", "PreTrainedTokenizerFast")},
    read_config=roberta.read_config,
    encoder=_encoder,
    spellings=roberta.SPELLINGS,
)
