"""What is measured: an engine, and a driver that times it on shapes and on texts."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np

from bertc.artifact.schema import ModelInfo
from bertc.bench.timing import Round
from bertc.errors import InputError

Array = np.ndarray[Any, Any]

BATCH = 32
"""Texts per batch where texts are batched: the default of sentence-transformers."""
SETTLE_SECONDS = 0.01
"""Before a turn: threads of the engine before may still be spinning, some for milliseconds."""
SINGLE_TEXTS = 500
"""Texts that are run one by one, at most: enough for a p99, and slow engines take minutes for thousands."""
SLOW_SECONDS = 0.25
"""A call that takes longer needs no other before it to warm the caches."""


class Engine(Protocol):
    """A loaded model: one of our files, or a peer with the same weights."""

    version: str
    """Of the library."""
    isa: str | None
    """The instruction set that it says it uses."""

    @property
    def kernel_seconds(self) -> float:
        """Time that :meth:`encode` has spent in the model so far, without tokenizing and padding."""

    def bind(self, input_ids: Array, attention_mask: Array) -> Callable[[], Array]:
        """Prepare int64 [batch, seq] arrays (mask 1: a token) as the engine likes them.

        The call that comes back runs the model: float32 [batch, hidden] for an embedding model,
        else logits.
        """

    def encode(self, texts: Sequence[str], *, batch_size: int | None, sort: bool) -> Any:
        """Tokenize and run texts, an answer per text, in their order.

        ``batch_size`` texts at a time, all if None; with ``sort``, texts of like length together.
        """


@dataclass(frozen=True)
class TextMode:
    """A way to run many texts."""

    batch_size: int | None
    sort: bool


TEXT_MODES = {
    "sorted": TextMode(BATCH, True),
    "unsorted": TextMode(BATCH, False),
    "single": TextMode(1, False),
    "one_call": TextMode(None, False),
}
"""``one_call`` is for engines that do not pad: it would cost others more than ``unsorted``."""


def texts_of(mode: str, texts: Sequence[str]) -> Sequence[str]:
    """Those that are run in this way: all, or ``SINGLE_TEXTS`` from all over the list."""
    return evenly(texts, SINGLE_TEXTS) if mode == "single" else texts


def evenly(texts: Sequence[str], count: int) -> list[str]:
    """Texts from all over the list: files tend to be sorted by kind, and the first kind is not typical.

    (The first 300 sentences of the STS benchmark's dev split are captions of videos: with OpenVINO
    calibrated on them, mean cosine to fp32 is .973 on the test split.)
    """
    step = max(1.0, len(texts) / count)
    return [texts[int(index * step)] for index in range(min(count, len(texts)))]


class Driver:
    """Times one engine. Each method is a contestant's turn."""

    def __init__(self, engine: Engine, info: ModelInfo, texts: Sequence[str] = ()) -> None:
        self.engine, self.info, self.texts = engine, info, list(texts)

    def run_shape(self, batch: int, length: int, calls: int) -> Round:
        """``batch`` sequences of ``length`` random token ids: the model alone."""
        if length > self.info.max_position_embeddings:
            raise InputError(f"length {length}: the model has {self.info.max_position_embeddings} positions")
        ids = np.random.default_rng(0).integers(0, self.info.vocab_size, (batch, length), dtype=np.int64)
        run = self.engine.bind(ids, np.ones_like(ids))
        time.sleep(SETTLE_SECONDS)
        first = _time(run)
        if first < SLOW_SECONDS:
            seconds = [_time(run) for _ in range(calls)]
        else:
            seconds = [first, *(_time(run) for _ in range(calls - 1))]
        unit = 1000 * statistics.median(seconds)
        return Round(tuple(1000 * value for value in seconds), unit, unit)

    def run_texts(self, mode: str, calls: int) -> Round:
        """``calls`` passes over the texts of the mode, tokenizing included."""
        how, texts = TEXT_MODES[mode], texts_of(mode, self.texts)
        time.sleep(SETTLE_SECONDS)
        # Two batches: with a single one, an engine that runs several at once would not.
        self.engine.encode(self.texts[: 2 * BATCH], batch_size=how.batch_size, sort=how.sort)
        waits: list[float] = []
        passes: list[float] = []
        kernels: list[float] = []
        for _ in range(calls):
            before = self.engine.kernel_seconds
            seconds = self._pass(texts, how)
            waits += seconds
            passes.append(sum(seconds))
            kernels.append(self.engine.kernel_seconds - before)
        return Round(
            tuple(1000 * value for value in waits),
            1000 * statistics.median(passes),
            1000 * statistics.median(kernels),
        )

    def _pass(self, texts: Sequence[str], how: TextMode) -> list[float]:
        """Seconds of each call that a user would make: one for all texts, or one for each."""
        parts = [[text] for text in texts] if how.batch_size == 1 else [texts]
        encode = partial(self.engine.encode, batch_size=how.batch_size, sort=how.sort)
        return [_time(partial(encode, part)) for part in parts]


def _time(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def batches(texts: Sequence[str], batch_size: int | None, order: Sequence[int]) -> list[list[int]]:
    """Indices of the texts of each batch, in the given order of all."""
    size = batch_size or max(len(texts), 1)
    return [list(order[start : start + size]) for start in range(0, len(texts), size)]
