"""What is learned: how a kind of data becomes features of a model, and the loss of a batch of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from bertc.evaluation.evaluator import Evaluator
from bertc.training.settings import Settings

IGNORED = -100
"""The target of a token that no loss is taken of, as in PyTorch's cross entropy."""


class TokenSequence(NamedTuple):
    """The tokens of a sequence, with its special tokens."""

    ids: Sequence[int]
    types: Sequence[int]
    """The token types, empty for a model that has none."""


class Feature(NamedTuple):
    """What is trained on at once: one sequence, or two to compare, and what is to be learned of them."""

    sequences: tuple[TokenSequence, ...]
    target: Any


class Batch(NamedTuple):
    """Features as tensors."""

    inputs: Mapping[str, Any]
    """The arguments of the model, [sequences, length]. Of features with two sequences all first ones come
    first."""
    targets: Sequence[Any]


@dataclass(frozen=True)
class Objective(ABC):
    """One kind of fine-tuning, with the settings of a run."""

    auto_class: ClassVar[str]
    """The class of ``transformers`` that makes the model."""
    suffix: ClassVar[str] = ""
    """What the names of classes end in that have the head; nothing for a model without a head."""
    learning_rate: ClassVar[float] = 5e-5
    max_length: ClassVar[int] = 128

    settings: Settings
    labels: tuple[str, ...] = ()
    """The names of the head's outputs."""

    @abstractmethod
    def evaluator(self) -> Evaluator[Any]:
        """Return what scores the model on the data to evaluate on."""

    @abstractmethod
    def features(self, tokenizer: Any, length: int) -> list[Feature]:
        """Return the data to train on, of sequences of at most ``length`` tokens. Raises ``InputError``."""

    @abstractmethod
    def loss(self, model: Any, batch: Batch) -> Any:
        """Return the mean loss of a batch, a tensor with one element."""

    def keeps(self, labels: Sequence[str]) -> bool:
        """Tell whether a head of this kind in the base, with these labels, is what is to be trained."""
        return len(labels) == len(self.labels)

    def with_labels(self, own: Sequence[str] | None) -> Objective:
        """Return the objective with the labels of the head: the base's ``own``, else those of the data.

        Raises ``InputError`` for data with labels outside the base's.
        """
        del own
        return self

    def config(self) -> dict[str, Any]:
        """Return what the config of a model with a new head has to say."""
        return {
            "num_labels": len(self.labels),
            "id2label": dict(enumerate(self.labels)),
            "label2id": {label: number for number, label in enumerate(self.labels)},
        }

    def finish_folder(self, folder: Path, length: int, hidden: int) -> None:
        """Write what a checkpoint's folder needs besides the files of ``transformers``."""
        del folder, length, hidden


def token_sequence(encoded: Any, index: int) -> TokenSequence:
    """Return one sequence of what a tokenizer of ``transformers`` gave."""
    types = encoded["token_type_ids"][index] if "token_type_ids" in encoded else []
    return TokenSequence(encoded["input_ids"][index], types)
