"""Admission: how much may be in work at a time, counted in tokens, by one rule for one input and for many."""

from __future__ import annotations

import asyncio
from collections import deque

from bertc.serve.errors import RequestError

WAITING_PER_REQUEST = 4
"""The requests that may wait for room, for each that may be in work: those beyond are refused at once, since
what waits holds its body in memory."""


class Admission:
    """Lets requests in while there is room, in the order in which they came.

    A request that finds none waits for a moment before it is refused: an answer at once would only bring it
    back at once, and reading it would take the processor from those that are in work (with 400 clients
    that do not back off, refusing at once halved what was answered).
    """

    def __init__(self, max_tokens: int, max_requests: int, delay: float) -> None:
        self.max_tokens = max_tokens
        self.max_requests = max_requests
        self.delay = delay
        self.tokens = 0
        self.requests = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def waiting(self) -> int:
        """The number of requests that wait for room."""
        return sum(not future.done() for _, future in self._waiting)

    def charge(self, tokens: int) -> int:
        """Return what a request counts: at most half of the room, as only pieces of it are in the queue."""
        return max(1, min(tokens, self.max_tokens // 2))

    async def enter(self, tokens: int) -> int:
        """Wait for room, and return what is to be given back to :meth:`leave`.

        Raises ``RequestError`` where there was none for a while, and where too many wait already.
        """
        charge = self.charge(tokens)
        if not self._waiting and self._fits(charge):
            self._take(charge)
            return charge
        if len(self._waiting) >= WAITING_PER_REQUEST * self.max_requests:
            raise _overloaded()
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        place = (charge, future)
        self._waiting.append(place)
        timer = loop.call_later(self.delay, _refuse, future)
        try:
            await future
        except BaseException:
            if future.done() and not future.cancelled() and future.exception() is None:
                self.leave(charge)  # let in, and cancelled at the same moment
            elif place in self._waiting:
                self._waiting.remove(place)
                self._let_in()
            raise
        finally:
            timer.cancel()
        return charge

    def leave(self, charge: int) -> None:
        """Give back what :meth:`enter` returned."""
        self.tokens -= charge
        self.requests -= 1
        self._let_in()

    def _let_in(self) -> None:
        while self._waiting:
            charge, future = self._waiting[0]
            if not future.done():
                if not self._fits(charge):
                    return
                self._take(charge)
                future.set_result(None)
            self._waiting.popleft()

    def _fits(self, charge: int) -> bool:
        return self.requests < self.max_requests and (
            self.tokens == 0 or self.tokens + charge <= self.max_tokens
        )

    def _take(self, charge: int) -> None:
        self.tokens += charge
        self.requests += 1


def _refuse(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_exception(_overloaded())


def _overloaded() -> RequestError:
    message = "the server is overloaded: try again later"
    return RequestError("Overloaded", message, headers=((b"retry-after", b"1"),))
