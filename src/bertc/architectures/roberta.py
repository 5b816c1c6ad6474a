"""RoBERTa (Liu et al. 2019, arXiv:1907.11692): BERT's encoder with other positions and another classifier."""

from __future__ import annotations

import dataclasses

from bertc.architectures import bert
from bertc.architectures.family import ConfigReader, EncoderConfig, Family


def _read_config(reader: ConfigReader) -> EncoderConfig:
    """BERT's keys; the first token's position is the one after that of padding."""
    first_position = reader.size("pad_token_id", 1, smallest=0) + 1
    return dataclasses.replace(bert.read_config(reader), first_position=first_position)


_LM_HEAD = {
    "dense": "lm_head.dense",
    "activation": "gelu",
    "layer_norm": "lm_head.layer_norm",
    "decoder": "lm_head.decoder",
    "bias": "lm_head.bias",
}
FAMILY = Family(
    matches={"roberta": "Roberta"},
    read_config=_read_config,
    encoder=bert.encoder,
    spellings={
        "classification": {"dense": "classifier.dense", "output": "classifier.out_proj"},
        "masked_lm": _LM_HEAD,
        "sparse": _LM_HEAD,
    },
    lacks=frozenset({"next_sentence", "pretraining"}),
    tokenizer_class="RobertaTokenizer",
)
