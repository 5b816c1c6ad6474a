from __future__ import annotations

from bertc.bench.timing import Effort
from bertc.bench.turns import LEAST_ROUNDS, interleave
from tests.bench.fakes import FakeTurn


def test_everyone_has_a_turn_in_each_round_and_the_first_changes() -> None:
    log: list[str] = []
    turns = {name: FakeTurn(name, 1.0, log) for name in "abc"}
    interleave(turns, Effort(warmup=0, repeats=4, seconds=0))
    assert log == [*"abc", *"bca", *"cab"]


def test_time_and_repeats_end_the_measuring_but_not_before_three_rounds() -> None:
    for effort in (Effort(0, 1, 60.0), Effort(0, 10**6, 0.0)):
        rounds = interleave({"a": FakeTurn("a", 250.0, [])}, effort)["a"]
        assert len(rounds) == LEAST_ROUNDS
    rounds = interleave({"a": FakeTurn("a", 250.0, [])}, Effort(0, 10**6, 3.0))["a"]
    assert len(rounds) == 12


def test_short_work_is_repeated_within_a_turn() -> None:
    turn = FakeTurn("a", 10.0, [])
    rounds = interleave({"a": turn}, Effort(warmup=1, repeats=1000, seconds=1.0))["a"]
    assert turn.calls[0] == 1  # warming up, and to learn how long a call takes
    assert set(turn.calls[1:]) == {20}
    assert sum(len(each.calls_ms) for each in rounds) == 100


def test_the_limit_of_repeats_holds_over_all_rounds() -> None:
    turn = FakeTurn("a", 0.001, [])
    rounds = interleave({"a": turn}, Effort(warmup=1, repeats=9, seconds=60.0))["a"]
    assert [len(each.calls_ms) for each in rounds] == [3, 3, 3]


def test_whoever_is_very_slow_has_one_round_and_does_not_hold_up_others() -> None:
    log: list[str] = []
    turns = {"slow": FakeTurn("slow", 4001.0, log), "fast": FakeTurn("fast", 500.0, log)}
    rounds = interleave(turns, Effort(warmup=0, repeats=100, seconds=2.0, patience=4.0))
    assert len(rounds["slow"]) == 1 and len(rounds["fast"]) == 4
