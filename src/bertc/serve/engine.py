"""From a request's items to answers: admission, tokens, the queue, and a look at what came out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np

from bertc.errors import BertcError
from bertc.ports import SELECTED, SEQUENCES
from bertc.runtime.batch_queue import BatchQueue
from bertc.runtime.batching import FloatArray
from bertc.serve.admission import Admission
from bertc.serve.call import Call
from bertc.serve.errors import RequestError, refusal_of
from bertc.serve.models import Model
from bertc.serve.settings import MAX_WHOLE_TEXT, Settings
from bertc.serve.together import MAX_CHARACTERS, Together
from bertc.tasks.task import Prepared, Task

Result = TypeVar("Result")

INLINE_CHARACTERS = 4000
"""Up to so many characters are tokenized where the request is: about 0.2 ms, which another thread and the way
there and back would cost on a busy machine as well."""
MAX_NUMBERS = 1 << 24
"""The most numbers that a request may ask of a model, 64 MB: vectors of tokens, words for masks."""
CHARACTERS_PER_TOKEN = 4
"""For a first guess of the tokens of a text."""


class Engine:
    """Runs tasks for many requests. For use by one event loop."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.queue = BatchQueue(settings.max_batch_tokens)
        self.admission = Admission(
            settings.queue_tokens, settings.max_concurrent_requests, settings.overload_delay
        )
        self._together = Together(self.queue, settings.request_timeout)
        self._threads = ThreadPoolExecutor(settings.tokenization_workers, "bertc-tokenize")

    def start(self) -> None:
        """Listen to the queue on the running event loop."""
        self.queue.start()

    def stop(self) -> None:
        """Stop listening."""
        self.queue.stop()
        self._threads.shutdown(wait=False)

    async def answer(
        self,
        call: Call,
        model: Model,
        task: Task[Any, Result],
        items: Sequence[Any],
        *,
        truncate: bool | None = None,
        whole: bool = False,
        nonzero: bool = False,
        joins: bool = False,
    ) -> Result:
        """Return the answers of a task. Raises ``RequestError``.

        ``truncate`` is what the request says, None where it says nothing. ``whole`` is for tasks that cut
        nothing off. ``nonzero`` refuses to give a row of zeros as an answer. ``joins`` is for tasks that many
        requests share, with ``nonzero``, whose answers can be sliced: one text is answered along with others.
        """
        call.model, call.items = model.name, len(items)
        limit = model.limit
        charge = await self.admission.enter(self._check(call, items, None if whole else limit))
        try:
            # Who has a text that may have to be cut wants to hear of that.
            if joins and len(items) == 1 and call.characters <= min(MAX_CHARACTERS, 2 * limit):
                answers: Result | None = await self._together.answer(call, model, task, items[0])
                if answers is not None:
                    return answers
            prepared = await self._in_time(call, lambda: task.prepare(items))
            call.tokens += int(prepared.batch.cu_seqlens[-1])
            if prepared.truncated:
                call.truncated += prepared.truncated
                self._check_truncated(model, prepared, len(items), truncate)
            if nonzero and len(prepared.batch.cu_seqlens) <= len(items):
                raise RequestError("Empty", "`inputs` has a text of which no token is left")
            values = await self._run(call, model, prepared, task.output)
            model.check_numbers(values, nonzero=nonzero)
            if values.size > 1 << 20:
                return await self._in_thread(lambda: task.finish(prepared, values))
            return task.finish(prepared, values)
        except RequestError:
            raise
        except BertcError as error:
            raise refusal_of(error) from error
        finally:
            self.admission.leave(charge)

    async def tokenizing(self, call: Call, characters: int, work: Callable[[], Result]) -> Result:
        """Return what ``work`` does with a tokenizer: here, or in a thread if the text is long."""
        call.characters = characters
        if characters > MAX_WHOLE_TEXT:
            raise RequestError("Validation", f"the texts have more than {MAX_WHOLE_TEXT:,} characters")
        try:
            return await self._in_time(call, work)
        except BertcError as error:
            raise refusal_of(error) from error

    def _check(self, call: Call, items: Sequence[Any], limit: int | None) -> int:
        """Return about how many tokens items have; ``limit`` are those of one, None where none is cut off."""
        if not items:
            raise RequestError("Empty", "`inputs` cannot be empty")
        most = self.settings.max_client_batch_size
        if len(items) > most:
            raise RequestError("Validation", f"batch size {len(items)} > maximum allowed batch size {most}")
        tokens = 0
        for item in items:
            if not item or (type(item) is tuple and not any(item)):
                raise RequestError("Empty", "`inputs` cannot be empty")
            characters = _characters(item)
            call.characters += characters
            guess = characters // CHARACTERS_PER_TOKEN + 2
            tokens += guess if limit is None or guess < limit else limit
        if limit is None and call.characters > MAX_WHOLE_TEXT:
            raise RequestError(
                "Validation",
                f"the texts have more than {MAX_WHOLE_TEXT:,} characters, and this route cuts none",
            )
        return tokens

    def _check_truncated(
        self, model: Model, prepared: Prepared[Any], count: int, truncate: bool | None
    ) -> None:
        if not (self.settings.auto_truncate if truncate is None else truncate):
            raise RequestError(
                "Validation",
                f"`inputs` must have at most {prepared.limit or model.limit} tokens; "
                f"{prepared.truncated} of {count} have more: shorten them, or set `truncate`",
            )

    async def _run(self, call: Call, model: Model, prepared: Prepared[Any], output: str) -> FloatArray:
        batch, port = prepared.batch, model.encoder.info.output(output)
        assert port is not None, "the routes have looked"
        sequences = len(batch.cu_seqlens) - 1
        if not sequences:
            return np.empty((0, port.columns), np.float32)
        rows = sequences
        if port.rows != SEQUENCES:
            rows = len(batch.inputs.get(SELECTED, ())) if port.rows == SELECTED else int(batch.cu_seqlens[-1])
        if rows * port.columns > MAX_NUMBERS:
            raise RequestError(
                "Validation",
                f"the answer would be made of {rows:,} x {port.columns:,} numbers, above the limit of "
                f"{MAX_NUMBERS:,}: send fewer texts at a time",
            )
        values, times = await self.queue.run(
            model.encoder.session, batch, output, timeout=self.settings.request_timeout
        )
        call.queue_s += times.queued_ns / 1e9
        call.inference_s += times.run_ns / 1e9
        return values

    async def _in_time(self, call: Call, work: Callable[[], Result]) -> Result:
        start = time.perf_counter()
        result = work() if call.characters <= INLINE_CHARACTERS else await self._in_thread(work)
        call.tokenization_s += time.perf_counter() - start
        return result

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def _characters(item: Any) -> int:
    """Return the characters of a text, a pair or a list of words; of ids, as many as they may stand for."""
    if type(item) is str:
        return len(item)
    if type(item) is list and item and type(item[0]) is int:
        return CHARACTERS_PER_TOKEN * len(item)
    return sum(map(len, item))
