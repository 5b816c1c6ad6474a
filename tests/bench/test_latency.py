from __future__ import annotations

import pytest

import bertc
from bertc.bench.latency import LEAST_REPEATS, Effort, operations, time_shape, time_texts
from bertc.errors import InputError
from tests.conftest import MakeArtifact
from tests.support.fake_session import make_info

QUICK = Effort(warmup=0, repeats=4, seconds=60)


def test_operations_by_hand() -> None:
    info = make_info("embedding", hidden_size=2, intermediate_size=3, num_hidden_layers=5)
    # per token 4 * 2*2 + 2 * 2*3 = 28 multiply-adds, plus 2 * 2 * n*n of attention
    assert operations(info, [1, 3]) == 2 * 5 * (28 * 4 + 4 * (1 + 9))


def test_shapes_are_timed(artifact: MakeArtifact) -> None:
    timing = time_shape(bertc.load(artifact()).session, batch=3, length=5, effort=QUICK)
    assert (timing.sequences, timing.tokens, timing.repeats) == (3, 15, 4)
    assert 0 < timing.p50_ms <= timing.p90_ms <= timing.p99_ms
    assert timing.sequences_per_second == pytest.approx(3000 / timing.p50_ms)
    assert timing.tokens_per_second == pytest.approx(15000 / timing.p50_ms)


def test_time_limits_the_repeats(artifact: MakeArtifact) -> None:
    effort = Effort(warmup=0, repeats=1000, seconds=0)
    assert time_shape(bertc.load(artifact()).session, 1, 4, effort).repeats == LEAST_REPEATS


@pytest.mark.parametrize("head", ["embedding", "classification", "token_classification"])
def test_texts_are_timed_for_every_task(artifact: MakeArtifact, head: str) -> None:
    timing = time_texts(bertc.load(artifact(head)), ["cat", "dog cat"], QUICK)
    assert (timing.sequences, timing.tokens) == (2, 7)


def test_too_long_a_shape_is_refused(artifact: MakeArtifact) -> None:
    with pytest.raises(InputError, match="64 positions"):
        time_shape(bertc.load(artifact()).session, 1, 65, QUICK)
