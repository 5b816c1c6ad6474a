"""A label for each token: one dense layer."""

from __future__ import annotations

from bertc.architectures.family import Spelling
from bertc.architectures.model_builder import ModelBuilder
from bertc.heads.head import Head, HeadOptions


def _outputs(builder: ModelBuilder, hidden: str, spelling: Spelling, options: HeadOptions) -> dict[str, str]:
    return {"logits": builder.linear(spelling["output"], hidden, options.num_labels)}


HEAD = Head("token_classification", "token_classification", "ForTokenClassification", _outputs)
