"""Classification of texts and pairs: a softmax over the classes that the data has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from bertc.errors import InputError
from bertc.evaluation.classification import (
    Classification,
    documented_order,
    labeled_rows,
    read,
)
from bertc.training.objective import Batch, Feature, Objective, token_sequence
from bertc.training.settings import Settings


@dataclass(frozen=True)
class Classify(Objective):
    """Cross entropy of the classes of texts or pairs."""

    auto_class = "AutoModelForSequenceClassification"
    suffix = "ForSequenceClassification"

    def keeps(self, labels: Sequence[str]) -> bool:
        """Tell whether the base tells classes apart: one with a single output gives scores."""
        return len(labels) > 1

    def with_labels(self, own: Sequence[str] | None) -> Objective:
        """Return the objective with the classes of the base, of the settings, or of the data."""
        if own is not None and self.settings.labels:
            raise InputError(
                f"the base has a head with the labels {', '.join(own)}: leave out labels, or ask for a new "
                "head (--new-head)"
            )
        labels = tuple(own or self.settings.labels) or _labels_of_data(self.settings)
        found = replace(self, labels=labels)
        try:
            found.evaluator().read(self.settings.data)
        except InputError as error:
            hint = ". A new head (--new-head) has the labels of the data" if own is not None else ""
            raise InputError(f"{error}{hint}") from None
        return found

    def evaluator(self) -> Classification:
        """Return the evaluator of ``bertc eval classify``."""
        return Classification(self.labels, self.settings.columns)

    def config(self) -> dict[str, Any]:
        """Return the labels, and that there is one of them for each text."""
        return {**super().config(), "problem_type": "single_label_classification"}

    def features(self, tokenizer: Any, length: int) -> list[Feature]:
        """Return a sequence for each text or pair, cut at its end, and the number of its class."""
        samples = read(self.settings.data, self.labels, self.settings.columns)
        encoded = encode_texts(tokenizer, [sample.text for sample in samples], length)
        return [
            Feature((token_sequence(encoded, index),), sample.label) for index, sample in enumerate(samples)
        ]

    def loss(self, model: Any, batch: Batch) -> Any:
        """Return the cross entropy."""
        import torch

        logits = model(**batch.inputs).logits
        return torch.nn.functional.cross_entropy(logits, torch.tensor(batch.targets, device=logits.device))


def encode_texts(tokenizer: Any, texts: Sequence[str | tuple[str, str]], length: int) -> Any:
    """Return the tokens of texts, or of pairs."""
    firsts = [text if isinstance(text, str) else text[0] for text in texts]
    seconds = [text[1] for text in texts if not isinstance(text, str)]
    return tokenizer(firsts, seconds or None, truncation=True, max_length=length)


def _labels_of_data(settings: Settings) -> tuple[str, ...]:
    """Return the labels of the data in their order: numbers, a documented one, or the alphabet's.

    Numbers are called as ``transformers`` does: ``LABEL_0``. Raises ``InputError`` where there are too few,
    or numbers with gaps.
    """
    spellings: dict[str, str] = {}
    for row in labeled_rows(settings.data, settings.columns):
        spellings.setdefault(row.label.casefold(), row.label)
    if len(spellings) < 2:
        raise InputError(f"{settings.data}: every label is {next(iter(spellings))!r}: classes need two")
    if all(label.isdecimal() for label in spellings):
        numbers = sorted(map(int, spellings))
        if numbers != list(range(len(numbers))):
            raise InputError(
                f"{settings.data}: the labels are the numbers {', '.join(map(str, numbers[:9]))}, expected 0 "
                f"to {len(numbers) - 1} without gaps: name all classes by their numbers (--labels)"
            )
        return tuple(f"LABEL_{number}" for number in numbers)
    labels = tuple(spellings[name] for name in sorted(spellings))
    order = documented_order(labels)
    return labels if order is None else tuple(labels[index] for index in order)
