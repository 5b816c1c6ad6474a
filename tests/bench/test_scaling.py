from __future__ import annotations

from bertc.bench.plan import Settings, plan
from bertc.bench.run import measure_scaling
from bertc.bench.timing import Effort
from tests.conftest import MakeArtifact


def test_each_file_is_run_on_all_threads_and_on_one(artifact: MakeArtifact) -> None:
    specs = plan(Settings(files=(artifact(),), threads=2))
    rows = measure_scaling(specs, Effort(warmup=0, repeats=3, seconds=0.0), (2, 8))
    assert [{**row, "median": 0, "low": 0, "high": 0} for row in rows] == [
        {"engine": "bertc fp32", "threads": 2, "batch": 2, "length": 8, "median": 0, "low": 0, "high": 0}
    ]
    assert 0 < rows[0]["low"] <= rows[0]["median"] <= rows[0]["high"]
