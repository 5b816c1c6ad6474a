"""RoBERTa (Liu et al. 2019, arXiv:1907.11692) and those that differ from it by their training alone.

XLM-RoBERTa (Conneau et al. 2019, arXiv:1911.02116), CamemBERT (Martin et al. 2019, arXiv:1911.03894) and the
text model of data2vec (Baevski et al. 2022, arXiv:2202.03555).
"""

from __future__ import annotations

import dataclasses

from bertc.architectures import bert
from bertc.architectures.family import ConfigReader, EncoderConfig, Family, ModelType, Spelling

LM_HEAD: Spelling = {
    "dense": "lm_head.dense",
    "activation": "gelu",
    "layer_norm": "lm_head.layer_norm",
    "decoder": "lm_head.decoder",
    "bias": "lm_head.bias",
}
SPELLINGS = {
    "classification": {"dense": "classifier.dense", "output": "classifier.out_proj"},
    "masked_lm": LM_HEAD,
}


def read_config(reader: ConfigReader) -> EncoderConfig:
    """BERT's keys; the first token's position is the one after that of padding."""
    first_position = reader.size("pad_token_id", 1, smallest=0) + 1
    return dataclasses.replace(bert.read_config(reader), first_position=first_position)


FAMILY = Family(
    model_types={
        "roberta": ModelType("Roberta", "RobertaTokenizer"),
        "xlm-roberta": ModelType("XLMRoberta", "XLMRobertaTokenizer"),
        "camembert": ModelType("Camembert", "CamembertTokenizer"),
        "data2vec-text": ModelType("Data2VecText", "RobertaTokenizer"),
    },
    read_config=read_config,
    encoder=bert.encoder,
    spellings=SPELLINGS,
)
