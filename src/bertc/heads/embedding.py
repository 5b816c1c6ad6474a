"""The bare encoder: hidden states, pooler, and the vector that sentence-transformers makes of them."""

from __future__ import annotations

from bertc.architectures.family import Spelling
from bertc.architectures.model_builder import ModelBuilder
from bertc.heads.head import Head, HeadOptions, first_token


def _outputs(builder: ModelBuilder, hidden: str, spelling: Spelling, options: HeadOptions) -> dict[str, str]:
    outputs = {"last_hidden_state": hidden}
    pooler = spelling.get("pooler", "pooler.dense")
    if builder.has(pooler) or options.pooling == "pooler":
        dense = builder.linear(pooler, first_token(builder, hidden), builder.columns(hidden))
        outputs["pooler_output"] = builder.activation("tanh", "pooler.activation", dense)
    if options.pooling == "pooler":
        sentence = outputs["pooler_output"]
    else:
        sentence = builder.pool("sentence.pooling", hidden, options.pooling)
    if options.normalize:
        sentence = builder.op("normalize", "sentence.normalize", {"x": sentence})
    return {**outputs, "sentence_embedding": sentence}


HEAD = Head("embedding", "embedding", "Model", _outputs, has_labels=False)
