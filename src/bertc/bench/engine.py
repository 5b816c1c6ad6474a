"""An engine, which is what the bench measures, and a driver that times it on shapes and on texts."""

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

Array = np.ndarray[Any, Any]

OURS = "bertc"
"""The library of the engines that are compiled files."""
BATCH = 32
"""The number of texts per batch where texts are batched: the default of sentence-transformers."""
SETTLE_SECONDS = 0.01
"""The pause before a turn: threads of the engine before may still be spinning, some for milliseconds."""
SINGLE_TEXTS = 500
"""The most texts that are run one by one: enough for a p99, and slow engines take minutes for thousands."""
SLOW_SECONDS = 0.25
"""A call that takes longer than this needs no other before it to warm the caches."""


class Engine(Protocol):
    """A loaded model: a compiled file, or a peer with the same weights."""

    version: str
    """The version of the library."""
    isa: str | None
    """The instruction set that the library says it uses."""

    @property
    def kernel_seconds(self) -> float:
        """The time that :meth:`encode` has spent in the model so far, without tokenizing and padding."""

    def bind(self, input_ids: Array, attention_mask: Array) -> Callable[[], Array]:
        """Prepare int64 [batch, seq] arrays (mask 1: a token) as the engine likes them.

        The function that comes back runs the model: it returns float32 [batch, hidden] for an embedding
        model, else logits.
        """

    def encode(self, texts: Sequence[str], *, batch_size: int | None, sort: bool) -> Any:
        """Tokenize and run texts, and return an answer for each, in their order.

        ``batch_size`` texts are run at a time, all if it is None; with ``sort``, texts of like length.
        """


@dataclass(frozen=True)
class TextMode:
    """A way to run many texts."""

    batch_size: int | None
    sort: bool
    title: str
    """The name of the way in tables and plots."""


TEXT_MODES = {
    "sorted": TextMode(BATCH, True, f"batches of {BATCH}, sorted"),
    "unsorted": TextMode(BATCH, False, f"batches of {BATCH}, unsorted"),
    "single": TextMode(1, False, "one by one"),
    "one_call": TextMode(None, False, "one call, unsorted"),
}
"""The ways to run texts by name. ``one_call`` is for engines without padding: others take longer in it."""


def texts_of(mode: str, texts: Sequence[str]) -> Sequence[str]:
    """Return the texts that are run in a mode: all, or ``SINGLE_TEXTS`` from all over the list."""
    return evenly(texts, SINGLE_TEXTS) if mode == "single" else texts


def evenly(texts: Sequence[str], count: int) -> list[str]:
    """Choose texts from all over the list: files are often sorted, and the first kind is not typical.

    (The first 300 sentences of the STS benchmark's dev split are captions of videos: with OpenVINO
    calibrated on them, mean cosine to fp32 is .973 on the test split.)
    """
    step = max(1.0, len(texts) / count)
    return [texts[int(index * step)] for index in range(min(count, len(texts)))]


class Driver:
    """A stopwatch for one engine. Each method is a turn in the sense of ``bertc.bench.turns``."""

    def __init__(self, engine: Engine, info: ModelInfo, texts: Sequence[str] = ()) -> None:
        self.engine, self.info, self.texts = engine, info, list(texts)

    def run_shape(self, batch: int, length: int, calls: int) -> Round:
        """Time the model alone on ``batch`` sequences of ``length`` random token ids."""
        vocabulary = self.info.size("vocab_size")
        ids = np.random.default_rng(0).integers(0, vocabulary, (batch, length), dtype=np.int64)
        run = self.engine.bind(ids, np.ones_like(ids))
        time.sleep(SETTLE_SECONDS)
        first = seconds_of(run)
        if first < SLOW_SECONDS:
            seconds = [seconds_of(run) for _ in range(calls)]
        else:
            seconds = [first, *(seconds_of(run) for _ in range(calls - 1))]
        unit = 1000 * statistics.median(seconds)
        return Round(tuple(1000 * value for value in seconds), unit, unit)

    def run_texts(self, mode: str, calls: int) -> Round:
        """Time ``calls`` passes over the texts of the mode, tokenizing included."""
        text_mode, texts = TEXT_MODES[mode], texts_of(mode, self.texts)
        encode = partial(self.engine.encode, batch_size=text_mode.batch_size, sort=text_mode.sort)
        # The calls that a user would make: one for all texts, or one for each.
        parts = [[text] for text in texts] if text_mode.batch_size == 1 else [texts]
        time.sleep(SETTLE_SECONDS)
        # Two batches: with a single one, an engine that runs several at once would not.
        encode(self.texts[: 2 * BATCH])
        waits: list[float] = []
        passes: list[float] = []
        kernels: list[float] = []
        for _ in range(calls):
            before = self.engine.kernel_seconds
            seconds = [seconds_of(partial(encode, part)) for part in parts]
            waits += seconds
            passes.append(sum(seconds))
            kernels.append(self.engine.kernel_seconds - before)
        return Round(
            tuple(1000 * value for value in waits),
            1000 * statistics.median(passes),
            1000 * statistics.median(kernels),
        )

    def encode(self, texts: Sequence[str]) -> Any:
        """Run texts in sorted batches of ``BATCH``, which is what libraries do by default."""
        return self.engine.encode(texts, batch_size=BATCH, sort=True)


def seconds_of(call: Callable[[], object]) -> float:
    """Return how long a call takes, in seconds."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def batches(texts: Sequence[str], batch_size: int | None, order: Sequence[int]) -> list[list[int]]:
    """Return the indices of the texts of each batch, in the given order of all."""
    size = batch_size or max(len(texts), 1)
    return [list(order[start : start + size]) for start in range(0, len(texts), size)]
