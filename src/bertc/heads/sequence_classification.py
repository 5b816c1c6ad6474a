"""A label, several labels or a value for a sequence: two dense layers on the first token."""

from __future__ import annotations

from bertc.architectures.family import Spelling
from bertc.architectures.model_builder import ModelBuilder
from bertc.heads.head import Head, HeadOptions, first_token


def _outputs(builder: ModelBuilder, hidden: str, spelling: Spelling, options: HeadOptions) -> dict[str, str]:
    dense = builder.linear(spelling["dense"], first_token(builder, hidden), builder.columns(hidden))
    dense = builder.activation(spelling["activation"], f"{spelling['dense']}.activation", dense)
    return {"logits": builder.linear(spelling["output"], dense, options.num_labels)}


HEAD = Head("classification", "classification", "ForSequenceClassification", _outputs)
