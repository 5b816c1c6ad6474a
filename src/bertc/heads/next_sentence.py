"""Whether the second text of a pair follows the first: two numbers for a sequence."""

from __future__ import annotations

from bertc.heads.head import Head, HeadContext, pooled_linear

SPELLING = {"dense": "pooler.dense", "activation": "tanh", "seq_relationship": "cls.seq_relationship"}


def relationship(context: HeadContext) -> str:
    """Append the head: column 0 says that the text follows, column 1 that it is a random one."""
    return pooled_linear(context, 2, "seq_relationship")


HEAD = Head(
    "next_sentence",
    "next_sentence",
    "ForNextSentencePrediction",
    lambda context: {"logits": relationship(context)},
    SPELLING,
    everywhere=False,
)
