"""What all tasks share: the model they work on, and the only loop over batches."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import ArrayLike

from bertc.artifact.schema import ModelInfo
from bertc.runtime.batching import FloatArray, IntArray, PackedBatch, windows
from bertc.runtime.progress import progress
from bertc.runtime.tokenization import TokenizedBatch, Tokenizer


class Runner(Protocol):
    """What a task needs of a session: run a packed batch."""

    def run(
        self,
        input_ids: IntArray,
        cu_seqlens: IntArray,
        token_type_ids: IntArray | None = None,
        position_ids: IntArray | None = None,
        *,
        outputs: Sequence[str] | None = None,
    ) -> Mapping[str, FloatArray]:
        """As :meth:`bertc.runtime.session.Session.run`."""


@dataclass(frozen=True)
class Window:
    """A slice of the inputs, tokenized and run."""

    items: Sequence[Any]
    batch: TokenizedBatch
    values: FloatArray
    """The output that the task asked for: a row per token or per sequence."""
    owners: Sequence[int]
    """Index into ``items`` of each sequence."""


@dataclass(frozen=True)
class Model:
    """A session with its tokenizer and the facts about the model."""

    session: Runner
    tokenizer: Tokenizer
    info: ModelInfo


class Task:
    """One job that a model can do. Subclasses add the methods users call."""

    name: ClassVar[str]
    """As in ``ModelInfo.task``."""
    output: ClassVar[str]
    """The program output that the task reads."""
    methods: ClassVar[tuple[str, ...]]
    """The methods of ``Encoder`` that the task answers, for messages."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self._warnings_left = [None]

    def windows(
        self,
        items: Sequence[Any],
        *,
        offsets: bool = False,
        chunked: bool = False,
        min_items: int = 1,
        show_progress: bool = False,
    ) -> Iterator[Window]:
        """Tokenize and run ``items``, a bounded window at a time, in order.

        With ``chunked``, items are word lists and none is truncated: a long one is several
        sequences.
        """
        first = 0
        with progress(len(items), self.methods[0], enabled=show_progress) as advance:
            for window in windows(items, min_items):
                if chunked:
                    batch, owners = self.model.tokenizer.chunks(window, first=first)
                else:
                    batch = self.model.tokenizer(window, offsets=offsets, first=first)
                    owners = list(range(len(window)))
                    if batch.truncated:
                        self._warn_once()
                yield Window(window, batch, self._run(batch.packed), owners)
                first += len(window)
                advance(len(window))

    def _warn_once(self) -> None:
        """Say, once per loaded model, that a text was cut."""
        try:
            self._warnings_left.pop()  # atomic: of several threads, one gets it
        except IndexError:
            return
        warnings.warn(
            f"a text has more than {self.model.info.max_seq_length} tokens, the limit of this model: what is "
            "longer is cut off there (said once per loaded model)",
            stacklevel=5,  # this, windows, the method of the task, that of Encoder: the caller's line
        )

    def _run(self, packed: PackedBatch) -> FloatArray:
        results = self.model.session.run(
            packed.input_ids,
            packed.cu_seqlens,
            packed.token_type_ids,
            packed.position_ids,
            outputs=(self.output,),
        )
        return results[self.output]


def softmax(logits: ArrayLike) -> FloatArray:
    """Probabilities along the last axis, float32."""
    values = np.asarray(logits, np.float32)
    exponentials = np.exp(values - values.max(axis=-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True), np.float32)
