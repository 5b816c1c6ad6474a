"""Short texts of several requests that came at the same moment: made ready, run and finished as one batch.

Most of what a text costs beside the model is paid once for a call, of a tokenizer or of NumPy, whether the
call is for one text or for ten.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from bertc.runtime.batch_queue import BatchQueue, ExpiredError, QueueError
from bertc.runtime.batching import FloatArray
from bertc.runtime.tokenization import FEW_CHARACTERS
from bertc.serve.call import Call
from bertc.serve.eager import Promise
from bertc.serve.models import Model
from bertc.tasks.task import Prepared, Task

MAX_CHARACTERS = FEW_CHARACTERS
"""The most characters of a group, so that one thread makes it ready: it is not what the cores are for."""
MAX_IN_FLIGHT = 2
"""The groups of a task that are in the queue at a time, unless they are full: one runs and one is next. What
comes meanwhile would have to wait anyhow, and can be made ready together."""
LARGE, LEAST_SHARE = MAX_CHARACTERS / 2, 0.5
"""Behind a group of so many characters that runs, the next has at least this share of them: a small one
would end before what came meanwhile is ready, and the cores would wait. Where few texts come, none waits."""


class Together:
    """Answers texts along with those of other requests. For use by one event loop."""

    def __init__(self, queue: BatchQueue, timeout: float) -> None:
        self._queue = queue
        self._timeout = timeout
        self._open: dict[int, _Group] = {}
        """The groups that still take texts, by the identity of their task."""
        self._in_flight: dict[int, list[int]] = {}
        """The characters of the groups of each task that are in the queue."""

    async def answer(self, call: Call, model: Model, task: Task[Any, Any], text: str) -> Any | None:
        """Return a slice of the task's answers that holds the one to a text: no zeros, and no NaN.

        None where anything about the text, or about one that came with it, is out of the ordinary: what that
        means for the request shows when its text is answered alone. Raises ``ExpiredError``.
        """
        group = self._open.get(id(task))
        if group is None or group.characters + len(text) > MAX_CHARACTERS:
            if group is not None:
                self._close(group)
            group = self._open[id(task)] = _Group(self._queue, model, task, self._end)
        promise = Promise(loop=group.loop)
        group.members.append(_Member(call, text, promise))
        group.characters += len(text)
        if self._is_due(group):
            self._close(group)
        try:
            return await promise
        except asyncio.CancelledError:
            group.cancel()
            raise

    def _is_due(self, group: _Group) -> bool:
        ahead = self._in_flight.get(id(group.task))
        if not ahead:
            return True
        least = LEAST_SHARE * ahead[0] if ahead[0] >= LARGE else 0
        return len(ahead) < MAX_IN_FLIGHT and group.characters >= least

    def _close(self, group: _Group) -> None:
        """Close a group behind what comes in this turn of the event loop."""
        if not group.closes:
            group.closes = True
            group.loop.call_soon(self._begin, group)

    def _begin(self, group: _Group) -> None:
        if group.begun:
            return
        group.begun = True
        task = id(group.task)
        if self._open.get(task) is group:
            del self._open[task]
        if group.begin(self._timeout):
            self._in_flight.setdefault(task, []).append(group.characters)

    def _end(self, ended: _Group) -> None:
        """Make room for the group that waits: at once if the cores have nothing else, before any reply."""
        task = id(ended.task)
        ahead = self._in_flight[task]
        ahead.remove(ended.characters)
        if not ahead:
            del self._in_flight[task]
        group = self._open.get(task)
        if group is not None and not ahead:
            self._begin(group)
        elif group is not None and self._is_due(group):
            self._close(group)


class _Member(NamedTuple):
    call: Call
    text: str
    promise: Promise


class _Group:
    """Texts for one task of one model."""

    closes = begun = False
    """Whether it is about to begin, and whether it has."""

    def __init__(
        self,
        queue: BatchQueue,
        model: Model,
        task: Task[Any, Any],
        ended: Callable[[_Group], None],
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.task = task
        self.members: list[_Member] = []
        self.characters = 0
        self._queue = queue
        self._model = model
        self._ended = ended
        """Called when the group leaves the queue."""
        self._number: int | None = None
        """The number of their batch in the queue."""
        self._prepared: Prepared[Any]
        self._bounds: list[int]
        self._values: FloatArray
        self._tokenization_s = 0.0
        """The share of a member."""

    def begin(self, timeout: float) -> bool:
        """Put the texts of those that are still there into the queue; return whether they are in it."""
        self.members = [member for member in self.members if not member.promise.done()]
        try:
            submitted = bool(self.members) and self._submit(timeout)
        except BaseException:  # a panic of Rust, too: it comes again for the text that it is about
            submitted = False
        if not submitted:
            self._leave_alone()
        return submitted

    def cancel(self) -> None:
        """Take the batch out of the queue if nobody waits for it any more."""
        if self._number is not None and all(member.promise.done() for member in self.members):
            self._queue.cancel(self._number)
            self._leave()

    def _submit(self, timeout: float) -> bool:
        """Return whether the batch is in the queue: nothing about its texts is out of the ordinary."""
        start = time.perf_counter()
        members, task = self.members, self.task
        prepared = self._prepared = task.prepare([member.text for member in members])
        bounds = self._bounds = prepared.batch.cu_seqlens.tolist()
        if (
            prepared.truncated
            or len(bounds) <= len(members)  # one has no token
            or bounds[-1] > self._queue.max_batch_tokens
            or task.output not in self._model.outputs_of_texts
        ):
            return False
        self._tokenization_s = (time.perf_counter() - start) / len(members)
        session = self._model.encoder.session
        self._number, self._values = self._queue.submit(
            session, prepared.batch, task.output, timeout, self._end
        )
        return True

    def _end(self, error: QueueError | ExpiredError | None, queued_ns: int, run_ns: int) -> None:
        """Give each member its answer."""
        self._leave()
        if isinstance(error, ExpiredError):
            for member in self.members:
                member.promise.fail(ExpiredError(str(error)))
            return
        try:
            if error is not None:
                raise error
            self._model.check_numbers(self._values, nonzero=True)
            answers = self.task.finish(self._prepared, self._values)
        except BaseException:
            self._leave_alone()
            return
        for index, (call, _, promise) in enumerate(self.members):
            call.tokens = self._bounds[index + 1] - self._bounds[index]
            call.tokenization_s = self._tokenization_s
            call.queue_s = queued_ns / 1e9
            call.inference_s = run_ns / 1e9
            promise.keep(answers[index : index + 1])

    def _leave(self) -> None:
        self._number = None
        self._ended(self)

    def _leave_alone(self) -> None:
        for member in self.members:
            member.promise.keep(None)
