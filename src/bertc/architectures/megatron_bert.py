"""MegatronBERT (Shoeybi et al. 2019, arXiv:1909.08053): BERT with norms before a layer's parts."""

from __future__ import annotations

from bertc.architectures import bert
from bertc.architectures.family import EncoderConfig, Family, ModelType
from bertc.architectures.layers import LayerNames, embeddings, pre_norm_layers
from bertc.architectures.model_builder import ModelBuilder

_NAMES = LayerNames(attention_norm="attention.ln", output_norm="ln")


def _encoder(builder: ModelBuilder, config: EncoderConfig) -> str:
    x = embeddings(builder, config, norm=False)
    return pre_norm_layers(builder, config, x, names=_NAMES, norm="encoder.ln")


FAMILY = Family(
    model_types={"megatron-bert": ModelType("MegatronBert", "BertTokenizer")},
    read_config=bert.read_config,
    encoder=_encoder,
    spellings=bert.FAMILY.spellings,
)
