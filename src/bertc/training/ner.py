"""Named entities: a label for the first token of each word, as the model is asked for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bertc.errors import InputError
from bertc.evaluation.metrics.entities import OUTSIDE
from bertc.evaluation.ner import FIRST_AND_LAST, NamedEntities, Sentence, read
from bertc.evaluation.tag_schemes import is_entity, kinds
from bertc.training.objective import IGNORED, Batch, Feature, Objective, token_sequence


@dataclass(frozen=True)
class TagWords(Objective):
    """Cross entropy of the labels of words."""

    auto_class = "AutoModelForTokenClassification"
    suffix = "ForTokenClassification"
    max_length = 256

    def keeps(self, labels: Sequence[str]) -> bool:
        """Tell whether the base has labels of entities."""
        return any(map(is_entity, labels))

    def with_labels(self, own: Sequence[str] | None) -> Objective:
        """Return the objective with the labels of the base, or of the data."""
        found = {label for sentence in self._read() for label in sentence.labels}
        if own is None:
            return replace(self, labels=_ordered(found))
        if missing := sorted(found - set(own)):
            raise InputError(
                f"{self.settings.data}: the labels {', '.join(missing)} are none of the base's, "
                f"{', '.join(own)}: spell them as the base does, or ask for a new head (--new-head)"
            )
        return replace(self, labels=tuple(own))

    def evaluator(self) -> NamedEntities:
        """Return the evaluator of ``bertc eval ner``."""
        return NamedEntities(self.labels, self._columns)

    def features(self, tokenizer: Any, length: int) -> list[Feature]:
        """Return the sequences of sentences, and the label of each token.

        What is too long becomes several sequences, as the evaluator cuts it: no word is left out.
        """
        sentences = self._read()
        numbers = {label: number for number, label in enumerate(self.labels)}
        encoded = tokenizer(
            [sentence.words for sentence in sentences],
            is_split_into_words=True,
            truncation=True,
            max_length=length,
            return_overflowing_tokens=True,
        )
        features, seen = [], (-1, -1)
        for index, owner in enumerate(encoded["overflow_to_sample_mapping"]):
            targets = []
            for word in encoded.word_ids(index):
                first = word is not None and (owner, word) > seen
                targets.append(numbers[sentences[owner].labels[word]] if first else IGNORED)
                seen = (owner, word) if first else seen
            features.append(Feature((token_sequence(encoded, index),), targets))
        return features

    def loss(self, model: Any, batch: Batch) -> Any:
        """Return the cross entropy of the first tokens of words."""
        import torch

        logits = model(**batch.inputs).logits
        targets = torch.full(logits.shape[:2], IGNORED)
        for row, labels in zip(targets, batch.targets, strict=True):
            row[: len(labels)] = torch.tensor(labels)
        return torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), targets.flatten().to(logits.device), ignore_index=IGNORED
        )

    @property
    def _columns(self) -> tuple[int, int]:
        words, labels = self.settings.columns or FIRST_AND_LAST
        return words, labels

    def _read(self) -> list[Sentence]:
        return read(self.settings.data, self._columns)


def _ordered(found: Iterable[str]) -> tuple[str, ...]:
    """Return O, then for each kind of entity, by the alphabet, the labels of all letters that occur.

    A letter that one kind lacks by chance is there for it too.
    """
    letters = sorted({label[0] for label in found if is_entity(label)}, key="BMILESUW".index)
    return (OUTSIDE, *(f"{letter}-{kind}" for kind in sorted(kinds(found)) for letter in letters))
