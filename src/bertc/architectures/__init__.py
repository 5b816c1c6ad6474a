"""The registry of model families: one file each, config and tensor names -> encoder."""

from __future__ import annotations

from typing import Any

from bertc.architectures import (
    albert,
    bert,
    bert_generation,
    big_bird,
    deberta,
    deberta_v2,
    distilbert,
    electra,
    ernie,
    esm,
    esmc,
    eurobert,
    gte,
    jina_bert,
    jina_embeddings_v3,
    longformer,
    luke,
    megatron_bert,
    modernbert,
    mpnet,
    nomic_bert,
    rembert,
    roberta,
    roberta_prelayernorm,
    roformer,
    squeezebert,
    ultrabert,
    xlm_roberta_xl,
    xmod,
)
from bertc.architectures.family import ConfigReader, EncoderConfig, Family
from bertc.architectures.model_builder import ModelBuilder

FAMILIES: tuple[Family[Any], ...] = (
    bert.FAMILY,
    roberta.FAMILY,
    mpnet.FAMILY,
    distilbert.FAMILY,
    electra.FAMILY,
    albert.FAMILY,
    ernie.FAMILY,
    megatron_bert.FAMILY,
    roberta_prelayernorm.FAMILY,
    xlm_roberta_xl.FAMILY,
    rembert.FAMILY,
    bert_generation.FAMILY,
    modernbert.FAMILY,
    eurobert.FAMILY,
    ultrabert.FAMILY,
    gte.FAMILY,
    nomic_bert.FAMILY,
    roformer.FAMILY,
    jina_embeddings_v3.FAMILY,
    esm.FAMILY,
    deberta.FAMILY,
    deberta_v2.FAMILY,
    jina_bert.FAMILY,
    esmc.FAMILY,
    luke.FAMILY,
    xmod.FAMILY,
    longformer.FAMILY,
    big_bird.FAMILY,
    squeezebert.FAMILY,
)
"""Every family, in the order in which messages and documents list them."""

__all__ = ["FAMILIES", "ConfigReader", "EncoderConfig", "Family", "ModelBuilder"]
