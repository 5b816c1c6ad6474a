"""Coroutines without a task: begun and resumed at once, and like those in tasks for all else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from bertc.serve.eager import Eager, Promise


class Bench:
    """Runs coroutines, and takes down what they do."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.promise = Promise()
        self.told: list[Any] = []
        self.bugs: list[Any] = []
        self.loop.set_exception_handler(lambda _, context: self.bugs.append(context["exception"]))

    async def waits(self, *awaited: Awaitable[Any]) -> None:
        for each in awaited:
            try:
                self.told.append(await each)
            except asyncio.CancelledError:
                self.told.append("cancelled")
                raise
            except OSError as error:
                self.told.append(str(error))

    def run(self, *awaited: Awaitable[Any]) -> Eager:
        bench = self

        class Told(Eager):
            def ended(self) -> None:
                bench.told.append("ended")

        eager = Told()
        eager.loop = self.loop
        eager.run(self.waits(*awaited))
        return eager


def run(test: Callable[[Bench], Awaitable[None]]) -> None:
    async def main() -> None:
        await test(Bench())

    asyncio.run(main())


def test_who_waits_for_promises_goes_on_at_once() -> None:
    async def test(bench: Bench) -> None:
        more = Promise()
        bench.run(bench.promise, more)
        bench.promise.keep(1)
        assert bench.told == [1]
        more.fail(OSError("no"))
        assert bench.told == [1, "no", "ended"]
        more.keep(2)  # too late, and no error
        assert len(asyncio.all_tasks()) == 1

    run(test)


def test_who_waits_for_something_else_goes_on_in_a_task() -> None:
    async def test(bench: Bench) -> None:
        future = bench.loop.create_future()
        future.set_exception(OSError("no"))
        bench.run(bench.promise, asyncio.sleep(0, 2), future)
        bench.promise.keep(1)
        assert bench.told == [1]
        for _ in range(4):
            await asyncio.sleep(0)
        assert bench.told == [1, 2, "no", "ended"]

    run(test)


def test_a_promise_is_a_future_for_tasks() -> None:
    async def test(bench: Bench) -> None:
        tasks = [asyncio.ensure_future(bench.waits(promise)) for promise in (bench.promise, bench.promise)]
        await asyncio.sleep(0)
        bench.promise.keep(1)
        assert bench.told == []
        await asyncio.gather(*tasks)
        assert bench.told == [1, 1]

    run(test)


@pytest.mark.parametrize("in_task", [False, True])
def test_who_is_cancelled_hears_it_where_it_waits(in_task: bool) -> None:
    async def test(bench: Bench) -> None:
        eager = bench.run(*([asyncio.sleep(0, 0)] if in_task else []), bench.promise)
        for _ in range(3):
            await asyncio.sleep(0)
        eager.cancel()
        for _ in range(3):
            await asyncio.sleep(0)
        assert bench.told == [*([0] if in_task else []), "cancelled", "ended"]
        assert bench.promise.cancelled() and not bench.bugs
        bench.promise.keep(1)

    run(test)


def test_a_bug_is_told_to_the_event_loop() -> None:
    async def test(bench: Bench) -> None:
        bench.run(bench.promise)
        bench.promise.fail(ZeroDivisionError())
        assert bench.told == ["ended"]
        assert [type(each) for each in bench.bugs] == [ZeroDivisionError]

    run(test)


def test_who_is_cancelled_before_its_task_began_hears_of_it_too() -> None:
    async def test(bench: Bench) -> None:
        bench.run(bench.loop.create_future()).cancel()
        await asyncio.sleep(0.01)
        assert bench.told == ["cancelled", "ended"]

    run(test)
