"""What a job asks of Ray, by a stand-in that runs tasks at once; test_ray.py has the real one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import bertc
from bertc.bulk import on_ray
from bertc.bulk.work import Work
from tests.bulk.conftest import EMBED, TEXTS, RunJob, files_of, write_rows
from tests.conftest import MakeArtifact


class Reference:
    """A task that has run, or content."""

    def __init__(self, value: Any) -> None:
        self.value = value


class DiedError(Exception):
    """What Ray raises for a task whose processes died."""


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SimpleNamespace:
    """A cluster of two nodes of one CPU; ``waiting`` has how many tasks there were at a time."""

    def remote(function: Callable[..., Any]) -> Any:
        def options(**given: Any) -> Any:
            fake.asked = given
            return SimpleNamespace(remote=lambda *arguments: Reference(lambda: function(*arguments)))

        return SimpleNamespace(options=options)

    def wait(references: list[Any], num_returns: int) -> Any:
        fake.waiting.append(len(references))
        return references[:num_returns], references[num_returns:]

    def get(reference: Reference) -> Any:
        return reference.value() if callable(reference.value) else reference.value

    node = {"Alive": True, "Resources": {"CPU": 1.0}}
    fake = SimpleNamespace(
        WORKER_MODE=1,
        exceptions=SimpleNamespace(RayTaskError=KeyError, RayError=DiedError),
        is_initialized=lambda: True,
        nodes=lambda: [node, node, {"Alive": True, "Resources": {}}],
        cluster_resources=lambda: {"CPU": 2.0},
        get_runtime_context=lambda: SimpleNamespace(
            worker=SimpleNamespace(mode=1), get_assigned_resources=lambda: {"CPU": 1.0}
        ),
        put=Reference,
        get=get,
        remote=remote,
        wait=wait,
        cancel=lambda _: None,
        waiting=[],
    )
    monkeypatch.setitem(sys.modules, "ray", fake)
    monkeypatch.setenv("BERTC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(on_ray, "_latest", [])
    return fake


def test_shards_of_a_cluster_are_those_of_this_process(
    cluster: SimpleNamespace, job: RunJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = write_rows(tmp_path / "rows.parquet", TEXTS * 2)
    job(rows, "whole")
    monkeypatch.chdir(tmp_path)
    job("rows.parquet", ray="auto")
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")
    assert cluster.asked == {"num_cpus": 1, "max_retries": 3} and max(cluster.waiting) == 4
    assert [worker._counted.num_threads for _, worker in on_ray._latest] == [1]
    job(rows, "few", ray="auto", instances=3)
    assert max(cluster.waiting[-10:]) == 3
    assert len(list((tmp_path / "cache").glob("*.bertc"))) == 1


def test_a_shard_that_kills_its_processes_ends_the_job(
    cluster: SimpleNamespace, job: RunJob, tmp_path: Path
) -> None:
    def die(_: Any) -> Any:
        raise DiedError("the node ran out of memory")

    cluster.get = die
    rows = write_rows(tmp_path / "rows.parquet")
    with pytest.raises(bertc.BertcError, match=r"died 4 times, .*out of memory\. 0 finished shards are kept"):
        job(rows, ray="auto")


def test_a_node_that_differs_is_told(
    cluster: SimpleNamespace, artifact: MakeArtifact, tmp_path: Path
) -> None:
    del cluster
    model = on_ray.ship(artifact())
    work = Work(tmp_path / "elsewhere", "identity", EMBED, ("text",), None)
    shard: Any = None
    with pytest.raises(bertc.BertcError, match=r"the job is of bertc 0\.0, .*install the same one"):
        on_ray._run_shard(model, work, shard, "0.0")
    with pytest.raises(bertc.InputError, match="elsewhere: name one that all nodes share"):
        on_ray._run_shard(model, work, shard, bertc.__version__)
