"""What a fine-tuning run is told: everything that its result depends on."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from bertc.errors import InputError

KINDS = ("classify", "ner", "sts", "qa", "pairs")
"""What can be fine-tuned, by the kinds of ``bertc eval``."""


@dataclass(frozen=True)
class Settings:
    """The settings of a run. Raises ``InputError`` that lists all that make no sense."""

    kind: str
    base: str
    """The checkpoint to start from: a folder, or a hub id."""
    data: str
    """The labeled data to train on."""
    eval_data: str
    """The labeled data that each epoch is scored on."""
    epochs: int = 3
    """The most epochs; early stopping may end the run before."""
    batch_size: int = 32
    learning_rate: float | None = None
    """The highest learning rate; None is the kind's own: 2e-5 for ``sts`` and ``pairs``, 5e-5 for others."""
    warmup: float = 0.1
    """The share of the steps in which the learning rate rises; it then falls to 0."""
    weight_decay: float = 0.01
    """Of matrices alone: neither of biases nor of layer norms."""
    max_length: int | None = None
    """The tokens of a sequence; None is the kind's own, 128, of ``ner`` 256 and of ``qa`` 384."""
    stride: int = 128
    """For ``qa``: the tokens that consecutive windows of a context share."""
    patience: int = 2
    """After so many epochs that are no better than the best one training stops; 0 never does."""
    seed: int = 0
    columns: tuple[Any, ...] = ()
    """The columns of the data, as the evaluator of the kind takes them."""
    labels: tuple[str, ...] = ()
    """For ``classify``: the names of the classes by number; by default those that the data has."""
    positive_from: float | None = None
    """For ``pairs``: the label from which on it is 1, where labels are scores."""
    new_head: bool = False
    """Whether a head that the base has for this kind is replaced by a new one."""

    def __post_init__(self) -> None:
        checks = {
            f"kind is {self.kind!r}, expected one of {', '.join(KINDS)}": self.kind in KINDS,
            "standard input can be read only once: name a file": "-" not in (self.data, self.eval_data),
            f"epochs is {self.epochs}, expected 1 or more": self.epochs >= 1,
            f"batch_size is {self.batch_size}, expected 1 or more": self.batch_size >= 1,
            f"learning_rate is {self.learning_rate}, expected a number above 0": (
                self.learning_rate is None or 0 < self.learning_rate < math.inf
            ),
            f"warmup is {self.warmup}, expected a share from 0 to 1": 0 <= self.warmup <= 1,
            f"weight_decay is {self.weight_decay}, expected 0 or more": 0 <= self.weight_decay < math.inf,
            f"max_length is {self.max_length}, expected 8 or more": (
                self.max_length is None or self.max_length >= 8
            ),
            f"stride is {self.stride}, expected 0 or more": self.stride >= 0,
            f"patience is {self.patience}, expected 0 or more": self.patience >= 0,
            f"seed is {self.seed}, expected 0 or more": self.seed >= 0,
            f"labels {', '.join(self.labels)} name a class twice": len({*map(str.casefold, self.labels)})
            == len(self.labels),
        }
        if problems := [problem for problem, holds in checks.items() if not holds]:
            raise InputError("; ".join(problems))

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain values; tuples are lists."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
        }
