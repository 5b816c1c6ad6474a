"""The registry of heads: what stands on an encoder, one file each, written once for all families."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bertc.heads import embedding, sequence_classification, token_classification
from bertc.heads.head import Head, HeadOptions

HEADS: Mapping[str, Head] = MappingProxyType(
    {head.name: head for head in (embedding.HEAD, sequence_classification.HEAD, token_classification.HEAD)}
)
"""Name of a head -> the head, in the order in which messages and documents list them."""

__all__ = ["HEADS", "Head", "HeadOptions"]
