"""Jobs and data sets on a cluster of two nodes on this machine, whose processes and nodes die."""

from __future__ import annotations

import os
import signal
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pyarrow as arrow
import pytest

import bertc
from bertc.bulk.output import SUCCESS
from tests.bulk.conftest import TEXTS, RunJob, files_of, read_rows, write_rows
from tests.conftest import MakeArtifact

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.filterwarnings("default")  # Ray's own


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Two nodes of one CPU each; this process is connected to them."""
    from ray.cluster_utils import Cluster

    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("default")
        patch.setenv("BERTC_CACHE", str(cache))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_worker_niceness", "0")  # or a busy machine starves them
        node = {"num_cpus": 1, "object_store_memory": 100 * 2**20, "include_dashboard": False}
        found = Cluster(initialize_head=True, head_node_args=node)
        try:
            found.add_node(**{name: node[name] for name in ("num_cpus", "object_store_memory")})
            ray.init(found.address, log_to_driver=False, logging_level="error")
            yield found
        finally:
            ray.shutdown()
            found.shutdown()


def processes_of_shards() -> dict[int, int]:
    """Return the processes below this one that run a shard now, and the node (raylet) of each."""
    parents, titles = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat, title = (folder / "stat").read_text(), (folder / "cmdline").read_bytes()
        except OSError:
            continue  # it has ended meanwhile
        parents[int(folder.name)] = int(stat.rpartition(")")[2].split()[1])
        titles[int(folder.name)] = title

    def is_ours(process: int) -> bool:
        while process in parents and process != os.getpid():
            process = parents[process]
        return process == os.getpid()

    return {
        process: parents[process]
        for process, title in titles.items()
        if title.startswith(b"ray::_run_shard") and is_ours(process)
    }


class Killer(Thread):
    """Kills the first process that runs a shard, and looks on until ``stop``."""

    def __init__(self) -> None:
        super().__init__()
        self.nodes: set[int] = set()
        self.killed: list[int] = []
        self._stops = False

    def __enter__(self) -> Killer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stops = True
        self.join()

    def run(self) -> None:
        while not self._stops:
            for process, node in processes_of_shards().items():
                self.nodes.add(node)
                if not self.killed:
                    os.kill(process, signal.SIGKILL)
                    self.killed.append(process)
            time.sleep(0.02)


def test_two_nodes_share_a_job_that_survives_a_killed_process(
    cluster: Any, job: RunJob, tmp_path: Path
) -> None:
    del cluster
    rows = write_rows(tmp_path / "rows.parquet", TEXTS * 80)
    job(rows, "whole", shard_rows=1000)
    with Killer() as killer:
        counts = job(rows, ray="auto", shard_rows=1000)
    assert counts["rows"] == len(TEXTS) * 80 and len(killer.killed) == 1 and len(killer.nodes) == 2
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole") and len(files_of(tmp_path / "out")) > 15
    assert (tmp_path / "out" / SUCCESS).exists() and not list((tmp_path / "out").glob(".*.tmp"))
    assert job(rows, resume=True, shard_rows=1000)["resumed_shards"] == counts["shards"]


def test_actors_on_two_nodes_give_each_row_once_though_one_dies(
    cluster: Any, artifact: MakeArtifact, tmp_path: Path
) -> None:
    del cluster
    from bertc.bulk.engines import assigned_threads
    from bertc.ray import Embed, ship

    flag = tmp_path / "died"

    class Observed(Embed):
        def __call__(self, rows: Any) -> Any:
            if 500 in rows.column("id").to_pylist() and not flag.exists():
                flag.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            found = super().__call__(rows)
            node = ray.get_runtime_context().get_node_id()
            return found.append_column("node", [[f"{node} {assigned_threads()}"] * len(rows)])

    blocks = [
        arrow.table(
            {"id": range(start, start + 100), "text": [TEXTS[row % 230] for row in range(start, start + 100)]}
        )
        for start in range(0, 1200, 100)
    ]
    model = ship(artifact())
    data = ray.data.from_arrow(blocks).map_batches(
        Observed,
        fn_constructor_kwargs={"model": model, "column": "text", "output": "vector"},
        batch_format="pyarrow",
        batch_size=None,
        compute=ray.data.ActorPoolStrategy(size=2),
        num_cpus=1,
    )
    table = arrow.concat_tables(ray.get(data.to_arrow_refs())).sort_by("id")
    assert flag.exists() and table.column("id").to_pylist() == list(range(1200))
    expected = bertc.load(artifact()).encode([TEXTS[row % 230] for row in range(1200)])
    assert np.array_equal(np.array(table.column("vector").to_pylist(), np.float32), expected)
    places = set(table.column("node").to_pylist())
    assert len(places) == 2 and all(place.endswith(" 1") for place in places)
    assert len(list(Path(os.environ["BERTC_CACHE"]).glob("*.bertc"))) == 1


def test_what_is_wrong_with_rows_is_told_as_without_a_cluster(
    cluster: Any, job: RunJob, tmp_path: Path
) -> None:
    del cluster
    rows = write_rows(tmp_path / "rows.parquet", [*TEXTS[:70], None])
    with pytest.raises(bertc.InputError, match=r"row 70: no text .*finished shards are kept"):
        job(rows, ray="auto", on_null="error")


def test_a_job_goes_on_when_a_node_is_gone(cluster: Any, job: RunJob, tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.parquet", TEXTS * 80)
    job(rows, "whole", shard_rows=1000)

    ended = Event()

    def remove() -> None:
        while len(set(processes_of_shards().values())) < 2:
            if ended.wait(0.02):
                return
        cluster.remove_node(cluster.list_all_nodes()[-1], allow_graceful=False)

    thread = Thread(target=remove)
    thread.start()
    try:
        job(rows, ray="auto", shard_rows=1000)
    finally:
        ended.set()
        thread.join()
    assert len(cluster.list_all_nodes()) == 1
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")
    assert len(read_rows(tmp_path / "out")) == len(TEXTS) * 80
