"""Finds the family and the head of a config.json by the name of its Hugging Face class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from bertc.architectures import FAMILIES, Family
from bertc.errors import CheckpointError
from bertc.heads import HEADS, Head

ENCODER_HEAD = "embedding"
"""The head of a bare encoder: what sentence-transformers takes, whatever head a checkpoint was saved with."""


class ModelClass(NamedTuple):
    """A Hugging Face class, which is a family with one of its heads."""

    name: str
    """The name of the class, as in ``BertForSequenceClassification``."""
    model_type: str
    family: Family
    head: Head


def supported_classes() -> Iterator[ModelClass]:
    """Yield the classes of every family, with every head that it spells."""
    for family in FAMILIES:
        for model_type, stem in family.matches.items():
            for head in HEADS.values():
                if head.name in family.heads:
                    yield ModelClass(stem + head.suffix, model_type, family, head)


def find_class(config: Mapping[str, Any], *, is_sentence_model: bool) -> ModelClass:
    """Return the class of a config.json. Raises ``CheckpointError`` that lists what is supported."""
    model_type, classes = config.get("model_type"), config.get("architectures")
    known = list(supported_classes())
    supported = ", ".join(each.name for each in known)
    of_family = [each for each in known if each.model_type == model_type]
    if not of_family:
        raise CheckpointError(
            f"config.json has model_type {model_type!r} (architectures {classes!r}), which is not supported. "
            f"Supported are {supported}"
        )
    if is_sentence_model or not classes:
        return next(each for each in of_family if each.head.name == ENCODER_HEAD)
    for each in of_family:
        if classes == [each.name]:
            return each
    raise CheckpointError(
        f"config.json has architectures {classes!r}, which is not supported. Supported are {supported}"
    )
