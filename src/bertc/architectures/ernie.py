"""ERNIE 2 and 3 (Sun et al. 2019, arXiv:1907.12412): BERT, with a table of tasks where the config says so."""

from __future__ import annotations

import dataclasses

from bertc.architectures import bert
from bertc.architectures.family import ConfigReader, EncoderConfig, Family, ModelType


def _read_config(reader: ConfigReader) -> EncoderConfig:
    tasks = reader.size("task_type_vocab_size", 3) if reader.flag("use_task_id") else 0
    return dataclasses.replace(bert.read_config(reader), task_type_vocab_size=tasks)


FAMILY = Family(
    model_types={"ernie": ModelType("Ernie", "BertTokenizer")},
    read_config=_read_config,
    encoder=bert.encoder,
    spellings=bert.FAMILY.spellings,
)
