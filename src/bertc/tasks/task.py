"""A task: two pure functions around a run of the model. No task is here.

``prepare`` makes a batch of what the caller passed, ``finish`` makes answers of the model's numbers. Who runs
batches between the two is a driver: ``drive.py`` for calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from bertc.runtime.batching import FloatArray, PackedBatch

Context = TypeVar("Context")
Answers_co = TypeVar("Answers_co", covariant=True)


@dataclass(frozen=True)
class Prepared(Generic[Context]):
    """Inputs of the model, and what the task remembers of where they came from."""

    batch: PackedBatch
    context: Context
    truncated: int = 0
    """The number of items that were longer than the limit, and were cut."""
    limit: int | None = None
    """The limit in tokens where it is not the model's."""


class Task(Protocol[Context, Answers_co]):
    """One job that a model can do, with the options of one call."""

    @property
    def output(self) -> str:
        """The output of the model that the task reads."""

    def prepare(self, items: Sequence[Any], *, first: int = 0) -> Prepared[Context]:
        """Return a batch of items; ``first`` is the index of the first one in what the caller passed.

        Raises ``InputError`` that names the index of an item that the task cannot take.
        """

    def finish(self, prepared: Prepared[Context], values: FloatArray) -> Answers_co:
        """Return an answer for each item; ``values`` [tokens or sequences, columns] is the task's output."""


def softmax(logits: ArrayLike) -> FloatArray:
    """Return the probabilities along the last axis, float32."""
    values = np.asarray(logits, np.float32)
    exponentials = np.exp(values - values.max(axis=-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True), np.float32)
