"""RoBERTa (Liu et al. 2019, arXiv:1907.11692) and those that differ from it by their training alone.

XLM-RoBERTa (Conneau et al. 2019, arXiv:1911.02116), CamemBERT (Martin et al. 2019, arXiv:1911.03894), the
text model of data2vec (Baevski et al. 2022, arXiv:2202.03555) and I-BERT before it is made of integers
(Kim et al. 2021, arXiv:2101.01321).
"""

from __future__ import annotations

import dataclasses

from bertc.architectures import bert
from bertc.architectures.family import ConfigReader, EncoderConfig, Family, ModelType, Spelling
from bertc.architectures.layers import LayerNames

_NAMES = LayerNames()
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
    reader.absent("quant_mode", "I-BERT's integers are not supported: set it to false, and compile to int8")
    return dataclasses.replace(bert.read_config(reader), first_position=first_position)


FAMILY = Family(
    model_types={
        "roberta": ModelType("Roberta", "RobertaTokenizer"),
        "xlm-roberta": ModelType("XLMRoberta", "XLMRobertaTokenizer"),
        "camembert": ModelType("Camembert", "CamembertTokenizer"),
        "data2vec-text": ModelType("Data2VecText", "RobertaTokenizer"),
        "ibert": ModelType("IBert", "RobertaTokenizer"),
    },
    read_config=read_config,
    encoder=bert.encoder,
    spellings=SPELLINGS,
    renames={
        **bert.FAMILY.renames,
        "encoder.layers": "encoder.layer",
        "emb_ln": "embeddings.LayerNorm",
        "mixer.Wqkv": (_NAMES.query, _NAMES.key, _NAMES.value),
        "mixer.out_proj": _NAMES.attention_output,
        "norm1": _NAMES.attention_norm,
        "mlp.fc1": _NAMES.intermediate,
        "mlp.fc2": _NAMES.output,
        "norm2": _NAMES.output_norm,
    },
)
"""The names that are replaced are those of jinaai/xlm-roberta-flash-implementation, besides BERT's own."""
