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
                if head.suffix and head.name not in family.lacks:
                    yield ModelClass(stem + head.suffix, model_type, family, head)


def find_class(config: Mapping[str, Any], *, head: str | None = None, task: str | None = None) -> ModelClass:
    """Return the class of a config.json, or what it is with another ``head``, or with that of a ``task``.

    Raises ``CheckpointError`` that lists what is supported.
    """
    model_type, classes = config.get("model_type"), config.get("architectures")
    known = list(supported_classes())
    supported = ", ".join(each.name for each in known)
    of_family = [each for each in known if each.model_type == model_type]
    if not of_family:
        raise CheckpointError(
            f"config.json has model_type {model_type!r} (architectures {classes!r}), which is not supported. "
            f"Supported are {supported}"
        )
    if task is not None:
        head = next(each.name for each in HEADS.values() if each.task == task)
    if head is not None or not classes:
        return _with_head(of_family[0], HEADS[head or ENCODER_HEAD])
    for each in of_family:
        if classes == [each.name]:
            return each
    raise CheckpointError(
        f"config.json has architectures {classes!r}, which is not supported. Supported are {supported}"
    )


def _with_head(any_of_family: ModelClass, head: Head) -> ModelClass:
    """Return the class of a family with a head; what has no class of its own is called after its encoder."""
    _, model_type, family, _ = any_of_family
    if head.name in family.lacks:
        raise CheckpointError(f"there is no {family.matches[model_type]}{head.suffix}: choose another task")
    suffix = head.suffix or HEADS[ENCODER_HEAD].suffix
    return ModelClass(f"{family.matches[model_type]}{suffix}", model_type, family, head)
