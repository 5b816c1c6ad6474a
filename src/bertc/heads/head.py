"""What a head is: the contract between its file, the families that spell it and the front ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bertc.architectures.family import Spelling
from bertc.architectures.model_builder import ModelBuilder


@dataclass(frozen=True)
class HeadOptions:
    """What a checkpoint says of its head, beside the tensors."""

    num_labels: int = 0
    pooling: str = "mean"
    """For an embedding model: ``cls``, ``mean``, ``max`` or ``pooler``."""
    normalize: bool = False
    """For an embedding model: whether it ends in a division by the L2 norm."""


@dataclass(frozen=True)
class Head:
    """One head, written once for all families."""

    name: str
    """As families list it in their ``heads``."""
    task: str
    """The row of ``bertc.task_table`` that it serves."""
    suffix: str
    """How the names of its Hugging Face classes end: ``Model``, ``ForSequenceClassification``."""
    outputs: Callable[[ModelBuilder, str, Spelling, HeadOptions], Mapping[str, str]]
    """Appends the head to a last hidden state [tokens, hidden_size]; returns public output -> value."""
    has_labels: bool = True
    """Whether config.json names the head's outputs (``id2label``)."""


def first_token(builder: ModelBuilder, hidden: str) -> str:
    """The hidden state of each sequence's first token: [sequences, hidden_size]."""
    return builder.pool("pooler.first_token", hidden, "cls")
