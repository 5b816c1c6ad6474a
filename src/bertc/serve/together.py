"""Short texts of several requests that came at the same moment: made ready, run and finished as one batch.

Most of what a text costs beside the model is paid once for a call, of a tokenizer or of NumPy, whether the
call is for one text or for ten.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, NamedTuple

from bertc.ports import SEQUENCES
from bertc.runtime.batch_queue import BatchQueue, ExpiredError, QueueError
from bertc.runtime.batching import FloatArray
from bertc.runtime.tokenization import FEW_CHARACTERS
from bertc.serve.call import Call
from bertc.serve.eager import Promise
from bertc.serve.models import Model
from bertc.tasks.task import Prepared, Task

MAX_CHARACTERS = FEW_CHARACTERS
"""The most characters of a group, so that one thread makes it ready: it is not what the cores are for."""


class Together:
    """Answers texts along with those of other requests. For use by one event loop."""

    def __init__(self, queue: BatchQueue, timeout: float) -> None:
        self._queue = queue
        self._timeout = timeout
        self._open: dict[int, _Group] = {}
        """The groups that still take texts, by the identity of their task."""

    async def answer(self, call: Call, model: Model, task: Task[Any, Any], text: str) -> Any | None:
        """Return a slice of the task's answers that holds the one to a text: no zeros, and no NaN.

        None where anything about the text, or about one that came with it, is out of the ordinary: what that
        means for the request shows when its text is answered alone. Raises ``ExpiredError``.
        """
        group = self._open.get(id(task))
        if group is None or group.characters + len(text) > MAX_CHARACTERS:
            loop = asyncio.get_running_loop()
            group = self._open[id(task)] = _Group(loop, self._queue, model, task)
            loop.call_soon(self._begin, group)
        promise = Promise(loop=group.loop)
        group.members.append(_Member(call, text, promise))
        group.characters += len(text)
        try:
            return await promise
        except asyncio.CancelledError:
            group.cancel()
            raise

    def _begin(self, group: _Group) -> None:
        """Close a group, which all have joined that came in this turn of the event loop."""
        if self._open.get(id(group.task)) is group:
            del self._open[id(group.task)]
        group.begin(self._timeout)


class _Member(NamedTuple):
    call: Call
    text: str
    promise: Promise


class _Group:
    """Texts for one task of one model."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, queue: BatchQueue, model: Model, task: Task[Any, Any]
    ) -> None:
        self.loop = loop
        self.task = task
        self.members: list[_Member] = []
        self.characters = 0
        self._queue = queue
        self._model = model
        self._number: int | None = None
        """The number of their batch in the queue."""
        self._prepared: Prepared[Any]
        self._values: FloatArray
        self._tokenization_s = 0.0
        """The share of a member."""

    def begin(self, timeout: float) -> None:
        """Put the texts of those that are still there into the queue."""
        self.members = [member for member in self.members if not member.promise.done()]
        try:
            if self.members and not self._submit(timeout):
                self._leave_alone()
        except Exception:  # whatever it is, it comes again for the text that it is about
            self._leave_alone()

    def cancel(self) -> None:
        """Take the batch out of the queue if nobody waits for it any more."""
        if self._number is not None and all(member.promise.done() for member in self.members):
            self._queue.cancel(self._number)

    def _submit(self, timeout: float) -> bool:
        """Return whether the batch is in the queue: nothing about its texts is out of the ordinary."""
        start = time.perf_counter()
        session = self._model.encoder.session
        self._prepared = self.task.prepare([member.text for member in self.members])
        batch, port = self._prepared.batch, self._model.encoder.info.output(self.task.output)
        if (
            self._prepared.truncated
            or len(batch.cu_seqlens) <= len(self.members)  # one has no token
            or batch.cu_seqlens[-1] > self._queue.max_batch_tokens
            or port is None
            or port.rows != SEQUENCES
            or session.has_host_steps
        ):
            return False
        self._tokenization_s = (time.perf_counter() - start) / len(self.members)
        self._number, self._values = self._queue.submit(session, batch, self.task.output, timeout, self._end)
        return True

    def _end(self, error: QueueError | ExpiredError | None, queued_ns: int, run_ns: int) -> None:
        """Give each member its answer."""
        if isinstance(error, ExpiredError):
            for member in self.members:
                member.promise.fail(ExpiredError(str(error)))
            return
        try:
            if error is not None:
                raise error
            self._model.check_numbers(self._values, nonzero=True)
            answers = self.task.finish(self._prepared, self._values)
        except Exception:
            self._leave_alone()
            return
        bounds = self._prepared.batch.cu_seqlens.tolist()
        for index, (call, _, promise) in enumerate(self.members):
            call.tokens = bounds[index + 1] - bounds[index]
            call.tokenization_s = self._tokenization_s
            call.queue_s = queued_ns / 1e9
            call.inference_s = run_ns / 1e9
            promise.keep(answers[index : index + 1])

    def _leave_alone(self) -> None:
        for member in self.members:
            member.promise.keep(None)
