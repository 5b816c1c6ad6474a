from __future__ import annotations

import threading

import numpy as np
import pytest

from bertc.bench.load.generator import Schedule, arrivals, send


class Clock:
    """A clock that stands still but for sleeping and working."""

    def __init__(self, now: float = 100.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def schedule(**changes: object) -> Schedule:
    return Schedule(**{"start": 100.5, "order": np.arange(3), **changes})  # type: ignore[arg-type]


def test_a_closed_loop_sends_the_next_request_when_the_last_is_answered() -> None:
    clock = Clock()
    work = [lambda seconds=seconds: clock.sleep(seconds) for seconds in (1.0, 2.0, 4.0)]
    trace = send(work, schedule(order=np.array([2, 0, 1]), limit=4), clock, clock.sleep)
    assert trace.request.tolist() == [2, 0, 1, 2]  # the order, again and again
    assert trace.began.tolist() == trace.due.tolist() == [0, 4, 5, 7]
    assert trace.ended.tolist() == [4, 5, 7, 11] and trace.served.all()


def test_a_closed_loop_ends_with_its_seconds_but_sends_one_request_at_least() -> None:
    clock = Clock()
    work = [lambda: clock.sleep(1.0)] * 3
    assert len(send(work, schedule(seconds=2.5), clock, clock.sleep).ended) == 3
    assert len(send(work, schedule(start=0.0, seconds=2.5), clock, clock.sleep).ended) == 1


def test_in_an_open_loop_a_stall_delays_all_who_arrive_meanwhile() -> None:
    """The first request takes 1 s: the others wait, though each is answered in 10 ms once it is begun."""
    clock = Clock()
    work = [lambda: clock.sleep(1.0 if clock.now == 100.5 else 0.01)]
    due = arrivals(10.0, 1.2, poisson=False, seed=0)
    trace = send(work, schedule(order=np.array([0]), due=due, limit=len(due)), clock, clock.sleep)
    latency, service = trace.ended - trace.due, trace.ended - trace.began
    assert latency[:11] == pytest.approx([1.0] + [0.91 - 0.09 * place for place in range(10)])
    assert latency[11] == pytest.approx(0.01)  # it arrives when the queue is empty again
    assert service[1:] == pytest.approx(0.01)


def test_what_waits_too_long_is_given_up() -> None:
    clock = Clock()
    due = np.array([0.0, 0.1, 0.2])
    work = [lambda: clock.sleep(1.0)]
    order = np.array([0])
    trace = send(work, schedule(order=order, due=due, limit=3, patience=1.5), clock, clock.sleep)
    assert trace.served.tolist() == [True, True, False]
    assert trace.ended.tolist() == [1.0, 2.0, 2.0]  # the last had waited 1.8 s by then


def test_instances_deal_the_requests_among_them() -> None:
    clock = Clock()
    parts = [
        send([lambda: None] * 3, schedule(limit=7, first=place, step=2), clock, clock.sleep).request.tolist()
        for place in range(2)
    ]
    assert parts == [[0, 2, 1, 0], [1, 0, 2]]


def test_a_queue_has_several_requests_in_work_at_once() -> None:
    meeting = threading.Barrier(3)
    trace = send([lambda: meeting.wait(30)], Schedule(0.0, np.array([0]), queue=3, limit=6))
    assert len(trace.ended) == 6


def test_a_request_that_fails_is_an_error() -> None:
    with pytest.raises(ZeroDivisionError):
        send([lambda: 1 / 0], Schedule(0.0, np.array([0]), queue=2, limit=4))


def test_an_instance_without_a_request_has_nothing_to_tell() -> None:
    assert len(send([lambda: None], Schedule(0.0, np.array([0]), first=1, step=2, limit=1)).ended) == 0


def test_arrivals() -> None:
    assert arrivals(4.0, 1.0, poisson=False, seed=0).tolist() == [0, 0.25, 0.5, 0.75]
    assert len(arrivals(0.1, 1.0, poisson=False, seed=0)) == 1
    random = arrivals(100.0, 50.0, poisson=True, seed=1)
    gaps = np.diff(random)
    assert random[0] == 0 and (gaps >= 0).all() and len(random) == 5000
    # The mean and the deviation of exponential gaps are the same; of 5000, each within 5 of its errors.
    assert gaps.mean() == pytest.approx(0.01, rel=5 / np.sqrt(5000))
    assert gaps.std() == pytest.approx(0.01, rel=5 * np.sqrt(2 / 5000))
    assert np.array_equal(random, arrivals(100.0, 50.0, poisson=True, seed=1))
