"""The registry of heads: what stands on an encoder, one file each, written once for all families."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bertc.heads import (
    embedding,
    late_interaction,
    masked_lm,
    multiple_choice,
    next_sentence,
    pretraining,
    question_answering,
    replaced_token,
    sequence_classification,
    sparse,
    token_classification,
)
from bertc.heads.head import Head, HeadContext, HeadOptions, SentenceModule

_HEADS = (
    embedding.HEAD,
    sequence_classification.HEAD,
    token_classification.HEAD,
    question_answering.HEAD,
    masked_lm.HEAD,
    next_sentence.HEAD,
    pretraining.HEAD,
    replaced_token.HEAD,
    multiple_choice.HEAD,
    sparse.HEAD,
    late_interaction.HEAD,
)
HEADS: Mapping[str, Head] = MappingProxyType({head.name: head for head in _HEADS})
"""Name of a head -> the head, in the order in which messages and documents list them."""

__all__ = ["HEADS", "Head", "HeadContext", "HeadOptions", "SentenceModule"]
