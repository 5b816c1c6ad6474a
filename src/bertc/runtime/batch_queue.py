"""The native queue as an event loop sees it: batches of many callers, and a future for each of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from bertc import _native
from bertc.errors import BertcError
from bertc.ports import SELECTED
from bertc.runtime.batching import FloatArray, PackedBatch
from bertc.runtime.session import Session

IN_FLIGHT = 2
"""The pieces of one large batch that are in the queue at a time: the next one waits while one runs, and what
others send comes between."""

_EXPIRED = "the request waited until its time was over"


class QueueError(BertcError):
    """Raised where a batch could not be run: the message is the session's."""


class ExpiredError(BertcError):
    """Raised where a batch waited in the queue until its time was over."""


@dataclass
class RunTimes:
    """The time that a request spent in the queue and in batches, in nanoseconds."""

    queued_ns: int = 0
    run_ns: int = 0


Ended = Callable[[QueueError | ExpiredError | None, int, int], None]
"""What is called with the end of a batch: why it has no results, and its nanoseconds in queue and batch."""


class BatchQueue:
    """Runs batches of many callers on one thread, merged to at most ``max_batch_tokens``.

    Several sessions take turns by the time that they use. For use by one event loop.
    """

    def __init__(self, max_batch_tokens: int) -> None:
        self.max_batch_tokens = max_batch_tokens
        self._native = _native.Queue(max_batch_tokens)
        self._ended: dict[int, Ended] = {}
        self._hosted = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Listen for finished batches on the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._native.fileno(), self._take_finished)

    def stop(self) -> None:
        """Listen no more; what is still waiting is dropped along with this object."""
        if self._loop is not None:
            self._loop.remove_reader(self._native.fileno())
            self._loop = None

    def load(self) -> dict[str, int]:
        """Return what waits, runs and has run, by the names of the native ``Queue``."""
        return self._native.load()

    async def run(
        self, session: Session, batch: PackedBatch, output: str, *, timeout: float = 0.0
    ) -> tuple[FloatArray, RunTimes]:
        """Return an output of a session for a batch: float32 [rows, columns], and how long it took.

        A batch of more than ``max_batch_tokens`` is cut between sequences and runs in pieces. Cancelling
        the caller takes out what is waiting. After ``timeout`` seconds in the queue, unless it is 0, raises
        ``ExpiredError``; raises ``QueueError`` where the session refuses the batch.
        """
        times = RunTimes()
        pieces = split(batch, self.max_batch_tokens)
        if len(pieces) == 1:
            return await self._run(session, batch, output, timeout, times), times
        slots = asyncio.Semaphore(IN_FLIGHT)

        async def run(piece: PackedBatch) -> FloatArray:
            async with slots:
                return await self._run(session, piece, output, timeout, times)

        tasks = [asyncio.ensure_future(run(piece)) for piece in pieces]
        try:
            return np.concatenate(await asyncio.gather(*tasks)), times
        except BaseException:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise

    async def _run(
        self, session: Session, batch: PackedBatch, output: str, timeout: float, times: RunTimes
    ) -> FloatArray:
        if session.has_host_steps:
            return await self._run_hosted(session, batch, output, timeout, times)
        future = asyncio.get_running_loop().create_future()
        number, values = self.submit(session, batch, output, timeout, partial(_settle, future))
        try:
            queued_ns, run_ns = await future
        except asyncio.CancelledError:
            self.cancel(number)
            raise
        times.queued_ns += queued_ns
        times.run_ns += run_ns
        return values

    def submit(
        self, session: Session, batch: PackedBatch, output: str, timeout: float, ended: Ended
    ) -> tuple[int, FloatArray]:
        """Put a batch into the queue in one piece: its number, and the output, which is there when it ends.

        For sessions without steps on the host. ``timeout`` is as in :meth:`run`. Raises ``InputError``.
        """
        number, results = session.submit(self._native, batch, outputs=(output,), timeout=timeout)
        self._ended[number] = ended
        return number, results[output]

    def cancel(self, number: int) -> None:
        """Take out a batch if it waits; nobody is told of its end."""
        self._native.cancel(number)
        self._ended.pop(number, None)

    async def _run_hosted(
        self, session: Session, batch: PackedBatch, output: str, timeout: float, times: RunTimes
    ) -> FloatArray:
        """Run NumPy between native programs, one batch at a time: merging would speed up nothing."""
        start = time.perf_counter_ns()
        async with self._hosted:
            began = time.perf_counter_ns()
            times.queued_ns += began - start
            if 0 < timeout < (began - start) / 1e9:
                raise ExpiredError(_EXPIRED)
            results = await asyncio.to_thread(session.run_batch, batch, outputs=(output,))
            times.run_ns += time.perf_counter_ns() - began
            return results[output]

    def _take_finished(self) -> None:
        for number, outcome, error, queued_ns, run_ns, _ in self._native.take_finished():
            ended = self._ended.pop(number, None)
            if ended is None:
                continue
            problem: QueueError | ExpiredError | None = None
            if outcome != "done":
                problem = ExpiredError(_EXPIRED) if outcome == "expired" else QueueError(error)
            ended(problem, queued_ns, run_ns)


def _settle(
    future: asyncio.Future[tuple[int, int]],
    error: QueueError | ExpiredError | None,
    queued_ns: int,
    run_ns: int,
) -> None:
    if future.done():
        return
    if error is None:
        future.set_result((queued_ns, run_ns))
    else:
        future.set_exception(error)


def split(batch: PackedBatch, max_tokens: int) -> Sequence[PackedBatch]:
    """Cut a batch between sequences: pieces of at most ``max_tokens``, or of one sequence that has more."""
    bounds = batch.cu_seqlens
    if len(bounds) <= 2 or bounds[-1] <= max_tokens:
        return [batch]
    pieces, first = [], 0
    while first < len(bounds) - 1:
        last = int(np.searchsorted(bounds, bounds[first] + max_tokens, side="right")) - 1
        last = max(last, first + 1)
        pieces.append(_slice(batch, first, last))
        first = last
    return pieces


def _slice(batch: PackedBatch, first: int, last: int) -> PackedBatch:
    start, stop = int(batch.cu_seqlens[first]), int(batch.cu_seqlens[last])
    inputs: dict[str, Any] = {}
    for name, array in batch.inputs.items():
        if name == SELECTED:
            low, high = np.searchsorted(array, (start, stop))
            inputs[name] = (array[low:high] - start).astype(np.int32)
        else:
            inputs[name] = array[start:stop]
    return PackedBatch(inputs, (batch.cu_seqlens[first : last + 1] - start).astype(np.int32))
