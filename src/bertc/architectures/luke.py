"""LUKE (Yamada et al. 2020, arXiv:2010.01057) without entities: RoBERTa's encoder, BERT's heads."""

from __future__ import annotations

from bertc.architectures import bert, roberta
from bertc.architectures.family import Family, ModelType

FAMILY = Family(
    model_types={"luke": ModelType("Luke", "LukeTokenizer")},
    read_config=roberta.read_config,
    encoder=bert.encoder,
    spellings={"masked_lm": roberta.LM_HEAD},
)
