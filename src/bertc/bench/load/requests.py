"""Requests: a batch of samples each, which runs end to end or in the model alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from bertc.artifact.executable import Executable
from bertc.bench.load.settings import END_TO_END, KERNEL, Call, PreparedSequence
from bertc.encoder import Encoder
from bertc.ports import SELECTED, SEQUENCES, TOKENS
from bertc.runtime.batching import PackedBatch, pack
from bertc.runtime.session import Session
from bertc.runtime.step_times import fit_to
from bertc.task_table import TASKS

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Request:
    """A batch of samples, and how it is run."""

    samples: int
    lengths: tuple[int, ...]
    """The number of tokens of each sequence, without what fills it up."""
    run: Mapping[str, Callable[[], object]]
    """How it is run, by scope."""


class LoadSession(Session):
    """A session that fills sequences up to a length, and remembers what it has run if it is told to.

    What fills a sequence up is a sequence of its own, whose results are dropped. So it is computed as on a
    machine with fixed shapes, only that attention between texts and padding is not, and answers stay right.
    """

    def __init__(self, executable: Executable, *, num_threads: int | None) -> None:
        super().__init__(executable, num_threads=num_threads)
        self.length: int | None = None
        self._ran: list[tuple[PackedBatch, PackedBatch, Sequence[str] | None]] | None = None

    def run_batch(self, batch: PackedBatch, *, outputs: Sequence[str] | None = None) -> dict[str, Array]:
        """Run as :meth:`Session.run_batch` does, with sequences filled up to ``length``."""
        filled = batch if self.length is None else fill_up(batch, self.length)
        if self._ran is not None:
            self._ran.append((batch, filled, outputs))
        results = super().run_batch(filled, outputs=outputs)
        if filled is batch:
            return results
        rows = {SEQUENCES: len(batch.cu_seqlens) - 1, TOKENS: int(batch.cu_seqlens[-1])}
        kinds = {port.name: port.rows for port in self.outputs}
        return {name: array[: rows.get(kinds[name])] for name, array in results.items()}

    def request(self, run: Callable[[], Any], samples: int) -> tuple[Request, Any]:
        """Run once; return the request that runs this or, in the model alone, its batches; and the answer."""
        self._ran = []
        try:
            answer = run()
            batches = self._ran
        finally:
            self._ran = None
        alone = [
            partial(super(LoadSession, self).run_batch, filled, outputs=outputs)
            for _, filled, outputs in batches
        ]
        lengths = tuple(int(each) for batch, _, _ in batches for each in np.diff(batch.cu_seqlens))
        kernel = alone[0] if len(alone) == 1 else partial(_run_all, alone)
        return Request(samples, lengths, {END_TO_END: run, KERNEL: kernel}), answer


def _run_all(runs: Sequence[Callable[[], object]]) -> None:
    for run in runs:
        run()


def fill_up(batch: PackedBatch, length: int) -> PackedBatch:
    """Return a batch with a sequence of zeros behind it for each that has fewer than ``length`` tokens."""
    missing = length - np.diff(batch.cu_seqlens)
    missing = missing[missing > 0]
    if not len(missing):
        return batch
    zeros = np.zeros(int(missing.sum()), np.int32)
    inputs = {
        name: array if name == SELECTED else np.concatenate([array, zeros])
        for name, array in batch.inputs.items()
    }
    bounds = [batch.cu_seqlens, batch.cu_seqlens[-1] + np.cumsum(missing)]
    return PackedBatch(inputs, np.concatenate(bounds).astype(np.int32))


def request_of_call(encoder: Encoder, session: LoadSession, call: Call) -> tuple[Request, Any]:
    """Return the request of a call of a method, and what the method answers."""
    run = partial(getattr(encoder, call.method), *map(list, call.arguments), **call.options)
    return session.request(run, len(call.arguments[0]))


def request_of_ids(
    session: LoadSession, sequences: Sequence[PreparedSequence], outputs: Sequence[str]
) -> Request:
    """Return the request of token ids, which has nothing but the model to run."""
    types = [[0] * len(each.ids) if each.type_ids is None else each.type_ids.tolist() for each in sequences]
    batch = fit_to(session, pack([each.ids.tolist() for each in sequences], types))
    return session.request(partial(session.run_batch, batch, outputs=outputs), len(sequences))[0]


def made_up(fill: str, batch: int, length: int, vocabulary: int, seed: int) -> list[PreparedSequence]:
    """Return ``batch`` sequences of ``length`` token ids, random ones or zeros."""
    random = np.random.default_rng(seed)
    ids = random.integers(0, vocabulary, (batch, length)) if fill == "random" else np.zeros((batch, length))
    return [PreparedSequence(row, None) for row in ids.astype(np.int32)]


def calls_of(method: str, samples: Sequence[Any], batch: int) -> list[Call]:
    """Return the calls of a method with batches of samples, in their order."""
    return [Call(method, (samples[at : at + batch],), {}) for at in range(0, len(samples), batch)]


class BatchingEncoder:
    """A model as evaluators see it, which is asked for a batch at a time and makes a request of each call."""

    def __init__(self, encoder: Encoder, session: LoadSession, batch: int) -> None:
        self._encoder, self._session, self._batch = encoder, session, batch
        self.calls: list[Call] = []
        self.requests: list[Request] = []

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._encoder, name)
        return partial(self._ask, name) if name in TASKS[self._encoder.info.task].methods else value

    def _ask(self, method: str, *arguments: Sequence[Any], **options: Any) -> Any:
        answers: list[Any] = []
        for at in range(0, len(arguments[0]), self._batch):
            part = tuple(argument[at : at + self._batch] for argument in arguments)
            self.calls.append(Call(method, part, options))
            request, found = request_of_call(self._encoder, self._session, self.calls[-1])
            self.requests.append(request)
            answers.extend(found)
        return answers
