from __future__ import annotations

import numpy as np
import pytest

from bertc.artifact.reader import open_artifact
from bertc.ir.graph import Graph, Node
from bertc.lowering.lower import lower
from bertc.ports import TOKENS, Port
from bertc.runtime import step_times
from bertc.runtime.session import Profile, Session
from bertc.runtime.step_times import Times, measure_steps, random_batch
from tests.conftest import MakeArtifact


def test_the_slower_half_of_the_runs_does_not_count() -> None:
    ticks = np.array([10, 20, 30, 15, 25])
    profiles = [Profile(False, wall, np.array([[wall - 1, 1]]), wall * ticks) for wall in (30, 10, 20, 1000)]
    times = Times.of(profiles)
    assert times.wall == 15 and times.steps.tolist() == [14, 1] and times.threads == 1
    assert times.attention.tolist() == pytest.approx([0.1, 0.2, 0.3, 0.15, 0.25])


def test_a_random_batch_holds_ids_of_the_vocabulary(artifact: MakeArtifact) -> None:
    session = Session(open_artifact(artifact()).executable, num_threads=1)
    batch = random_batch(session, 30, 2, 40)
    assert batch.cu_seqlens.tolist() == [0, 40, 80]
    assert batch.inputs["input_ids"].max() == 29 and batch.inputs["input_ids"].min() == 0


def test_a_model_that_takes_rows_gets_rows() -> None:
    node = Node("y", "normalize", {"x": "rows"}, ("y",))
    graph = Graph((Port("rows", "f32", TOKENS, 32),), {}, (node,), {"y": "y"}, "typed")
    session = Session(lower(graph), num_threads=1)
    batch = random_batch(session, 30, 2, 5)
    assert [*batch.inputs] == ["rows"]
    assert session.run_batch(batch)["y"].shape == (10, 32)


def test_steps_are_measured_a_few_times_at_least(
    artifact: MakeArtifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session(open_artifact(artifact()).executable, num_threads=1)
    runs: list[int] = []
    profile = session.profile
    monkeypatch.setattr(session, "profile", lambda *a, **k: (runs.append(1), profile(*a, **k))[1])
    times = measure_steps(session, random_batch(session, 30, 1, 4), ["last_hidden_state"], 0.0)
    assert len(runs) == 1 + step_times.LEAST_RUNS
    assert times.wall > 0 and times.steps[-1] > 0
