"""Sends requests, as fast as answers come (a closed loop) or when their time has come (an open one).

In an open loop latency counts from the time at which a request was to arrive, not from the time at which
somebody was free to send it: a stall of a second delays all requests of that second, and a loop that waits
for each answer would see one slow request (Gil Tene calls that coordinated omission).
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Row = tuple[int, float, float, float, bool]
"""What :class:`Trace` holds of one request."""


@dataclass(frozen=True)
class Schedule:
    """The requests of one instance, and when they go out. Times are seconds of ``time.monotonic``."""

    start: float
    """When all instances begin; the clock is the same in all processes of a machine."""
    order: Array
    """The samples' requests in the order in which they are sent, again and again: int64 [requests]."""
    queue: int = 1
    first: int = 0
    """This instance sends the requests number first, first + step, first + 2 step, ... of all."""
    step: int = 1
    limit: int | None = None
    """The number of requests of all instances together; None for as many as there is time for."""
    seconds: float | None = None
    """How long requests are sent, at least one by each client; of a limited number of them None."""
    due: Array | None = None
    """When each request arrives, in seconds after the start: float64 [limit]; None in a closed loop."""
    patience: float = float("inf")
    """The seconds after the start at which those of an open loop that nobody has taken are given up."""


@dataclass(frozen=True)
class Trace:
    """What became of an instance's requests: arrays [requests], times in seconds after the start."""

    request: Array
    """Which request of the list it was, int64."""
    due: Array
    """When it should have begun: when it arrived, or in a closed loop when it was sent."""
    began: Array
    ended: Array
    served: Array
    """False for those that were given up, which began and ended then."""


def send(
    requests: Sequence[Callable[[], object]],
    schedule: Schedule,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Trace:
    """Send requests as a schedule says, ``queue`` at a time, and tell when each began and ended.

    Raises what a request raises. ``clock`` and ``sleep`` are for tests.
    """
    numbers = itertools.count(schedule.first, schedule.step)
    client = _Client(requests, schedule, numbers, clock, sleep)
    sleep(max(0.0, schedule.start - clock()))
    if schedule.queue == 1:
        rows = client.run()
    else:
        with ThreadPoolExecutor(schedule.queue, "bertc-load") as pool:
            running = [pool.submit(client.run) for _ in range(schedule.queue)]
            rows = [row for each in running for row in each.result()]
    request, due, began, ended, served = zip(*rows, strict=True) if rows else [()] * 5
    return Trace(
        request=np.array(request, np.int64),
        due=np.array(due, np.float64),
        began=np.array(began, np.float64),
        ended=np.array(ended, np.float64),
        served=np.array(served, np.bool_),
    )


class _Client:
    """Takes the next request, waits until it is due, and runs it."""

    def __init__(
        self,
        requests: Sequence[Callable[[], object]],
        schedule: Schedule,
        numbers: itertools.count[int],
        clock: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self._requests, self._schedule, self._numbers = requests, schedule, numbers
        self._clock, self._sleep = clock, sleep
        self._order = schedule.order.tolist()

    def run(self) -> list[Row]:
        """Run requests until there are no more, or until their time is up."""
        schedule, rows = self._schedule, list[Row]()
        while True:
            number = next(self._numbers)  # of threads that share the counter, each gets another
            if schedule.limit is not None and number >= schedule.limit:
                return rows
            index = self._order[number % len(self._order)]
            if schedule.due is None:
                due = began = self._now()
                if rows and schedule.seconds is not None and began >= schedule.seconds:
                    return rows
            else:
                due = float(schedule.due[number])
                if (wait := due - self._now()) > 0:
                    self._sleep(wait)
                began = self._now()
            served = began < schedule.patience
            if served:
                self._requests[index]()
            rows.append((index, due, began, self._now() if served else began, served))

    def _now(self) -> float:
        return self._clock() - self._schedule.start


def arrivals(rate: float, seconds: float, *, poisson: bool, seed: int) -> Array:
    """Return when requests arrive, float64 [requests] from 0 to ``seconds``, at least one.

    Regularly, or at random: a Poisson process, whose gaps are exponential.
    """
    count = max(1, round(rate * seconds))
    if not poisson:
        return np.arange(count) / rate
    gaps = np.random.default_rng(seed).exponential(1 / rate, count)
    return np.asarray(np.cumsum(gaps) - gaps[0])
