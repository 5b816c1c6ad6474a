"""Finds the family and the head of a config.json by the name of its Hugging Face class."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
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
    family: Family[Any]
    head: Head

    @property
    def tokenizer_class(self) -> str:
        """The class of the tokenizer where a checkpoint names none."""
        return self.family.model_types[self.model_type].tokenizer_class


def tokenizer_class_of(model_type: Any) -> str | None:
    """Return the class of the tokenizer of a family whose checkpoint names none; None for no family."""
    found = (family.model_types.get(model_type) for family in FAMILIES)
    return next((names.tokenizer_class for names in found if names is not None), None)


def supported_classes() -> Iterator[ModelClass]:
    """Yield the classes of every family, with every head that it has."""
    for family in FAMILIES:
        for model_type, (stem, _) in family.model_types.items():
            for head in HEADS.values():
                if head.suffix and _has(family, head):
                    ending = family.endings.get(head.name, head.suffix)
                    yield ModelClass(stem + ending, model_type, family, head)


def _has(family: Family[Any], head: Head) -> bool:
    if family.encoder_only:
        return head.name == ENCODER_HEAD or not head.suffix
    return (head.everywhere and head.name not in family.lacks) or head.name in family.spellings


def as_transformers_has_it(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a config.json, or what ``transformers`` has for it if it is written for code on the hub."""
    translated = (family.translate(config) for family in FAMILIES)
    return next((each for each in translated if each is not None), config)


def find_class(config: Mapping[str, Any], *, head: str | None = None, task: str | None = None) -> ModelClass:
    """Return the class of a config.json, or what it is with another ``head``, or with that of a ``task``.

    Raises ``CheckpointError`` that lists what is supported, the nearest name first.
    """
    model_type, classes = config.get("model_type"), config.get("architectures")
    known = list(supported_classes())
    names = [each.name for each in known]
    of_family = [each for each in known if each.model_type == model_type]
    if not of_family:
        raise CheckpointError(
            f"config.json has model_type {model_type!r} (architectures {classes!r}), which is not supported. "
            f"Supported are {_nearest_first(classes or model_type, names)}"
        )
    if task is not None:
        head = next((each.name for each in HEADS.values() if each.task == task), None)
        if head is None:
            tasks = ", ".join(dict.fromkeys(each.task for each in HEADS.values()))
            raise CheckpointError(f"task is {task!r}, expected one of {tasks}")
    if head is not None or not classes:
        return _with_head(of_family, HEADS[head or ENCODER_HEAD])
    for each in of_family:
        if classes == [each.name]:
            return each
    raise CheckpointError(
        f"config.json has architectures {classes!r}, which is not supported for model_type {model_type!r}. "
        f"Supported are {_nearest_first(classes, names)}"
    )


def _with_head(of_family: Sequence[ModelClass], head: Head) -> ModelClass:
    """Return the class of a family with a head; what has no class of its own is called after its encoder."""
    encoder = next(each for each in of_family if each.head.name == ENCODER_HEAD)
    if not _has(encoder.family, head):
        tasks = ", ".join(dict.fromkeys(each.head.task for each in of_family))
        raise CheckpointError(
            f"model_type {encoder.model_type!r} has no head for the task {head.task}: "
            f"choose another task ({tasks})"
        )
    named = next((each for each in of_family if each.head == head), encoder)
    return named._replace(head=head)


def _nearest_first(wanted: Any, names: Sequence[str]) -> str:
    """Return names for a message, in the order in which they resemble what was asked for."""
    text = str(wanted[0] if isinstance(wanted, list) and wanted else wanted).lower()
    near = difflib.get_close_matches(text, [name.lower() for name in names], n=len(names), cutoff=0.6)
    return ", ".join(sorted(names, key=lambda name: _place(name.lower(), near)))


def _place(name: str, order: Sequence[str]) -> int:
    return order.index(name) if name in order else len(order)
