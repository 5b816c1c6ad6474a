"""Coroutines without a task each: begun where a request comes, resumed where what they wait for ends.

A task starts in the next turn of the event loop, and goes on in the turn after that of what it waits for. For
a short text each of these turns, and the task, costs about as much as reading the request.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any


class Promise(asyncio.Future[Any]):
    """A future that resumes an :class:`Eager` coroutine at once. For others it is like any future."""

    resume: Callable[[], None] | None = None
    """What goes on now; None where a task waits, or nobody."""

    def keep(self, result: Any) -> None:
        """Set the result, unless nobody waits any more."""
        if not self.done():
            self.set_result(result)
            if self.resume is not None:
                self.resume()

    def fail(self, error: Exception) -> None:
        """Set an exception, unless nobody waits any more."""
        if not self.done():
            self.set_exception(error)
            if self.resume is not None:
                self.resume()


class Eager:
    """Runs a coroutine here and now, and in a task from where it waits for something else than a promise."""

    loop: asyncio.AbstractEventLoop
    _coroutine: Coroutine[Any, Any, None]
    _promise: Promise | None = None
    _task: asyncio.Task[None] | None = None

    def run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Begin. :func:`asyncio.current_task` is none of the coroutine's before it has one."""
        self._coroutine = coroutine
        self._go_on()

    def ended(self) -> None:
        """Called at the end of the coroutine, however it came."""

    def cancel(self, msg: object = None) -> None:
        """Raise ``CancelledError`` where the coroutine waits, as a task does."""
        if self._task is not None:
            # After its first step, which is in the loop: what is cancelled before it never begins, nor ends.
            self.loop.call_soon(self._task.cancel, msg)
        elif self._promise is not None:
            self._promise.cancel()
            self._go_on()  # the promise raises the error

    def _go_on(self) -> None:
        self._promise = None
        try:
            awaited = self._coroutine.send(None)
        except (StopIteration, asyncio.CancelledError):
            self.ended()
        except BaseException as error:  # a panic of Rust is no Exception
            self.ended()
            self.loop.call_exception_handler({"message": "a bug of the server", "exception": error})
        else:
            if type(awaited) is Promise:
                self._promise, awaited.resume = awaited, self._go_on
            else:
                self._task = self.loop.create_task(self._in_task(awaited))

    async def _in_task(self, awaited: Any) -> None:
        try:
            await _rest(self._coroutine, awaited)
        finally:
            self.ended()


@types.coroutine
def _rest(coroutine: Coroutine[Any, Any, None], awaited: Any) -> Generator[Any, None, None]:
    """Await what a coroutine waits for, and then what else it does."""
    while True:
        error: BaseException | None = None
        try:
            yield awaited
        except BaseException as caught:
            error = caught
        try:
            awaited = coroutine.send(None) if error is None else coroutine.throw(error)
        except StopIteration:
            return
        finally:
            del error  # its traceback has this frame
