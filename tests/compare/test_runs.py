from __future__ import annotations

import json
from pathlib import Path

import pytest

from bertc.bench.load.run import FORMAT, KIND, run_load
from bertc.bench.load.settings import LoadSettings
from bertc.bench.report import FORMAT as BENCH_FORMAT
from bertc.bench.report import save
from bertc.compare.runs import FORMATS, SPEED, compare_runs, read_run
from bertc.errors import InputError
from tests.bench.fakes import make_report
from tests.compare.runs import load_row, save_run
from tests.conftest import MakeArtifact


def test_rows_are_found_by_shape_and_scope(tmp_path: Path) -> None:
    one = save_run(tmp_path / "a.json", load_row(1, 128), load_row(1, None), load_row(1, None, "kernel"))
    faster = load_row(1, None, samples_per_second=150.0, spread=0.6, p99_ms=6.5)
    other = save_run(tmp_path / "b.json", faster, load_row(4, None), load_row(1, None, "kernel", spread=None))
    found = compare_runs(one, other)
    assert found.shared == ["1 x real length", "1 x real length, model alone"]
    assert found.only == (["1 x 128"], ["4 x real length"])
    assert found.ratio(found.shared[0], SPEED) == 1.5 and found.ratio(found.shared[0], "p99_ms") == 0.5
    assert found.noise(found.shared[0]) == 0.6 and found.noise(found.shared[1]) == 0.1
    assert found.speedup == 1.25
    assert found.scores(found.shared[0]) == {"accuracy": (90.0, 90.0)} and found.scores(found.shared[1]) == {}


def test_what_changed_is_told(tmp_path: Path) -> None:
    one = save_run(tmp_path / "a.json", load_row(1, 8), settings={"queue": 1, "loops": 3})
    other = save_run(tmp_path / "b.json", load_row(1, 8), settings={"queue": 4}, complete=False)
    found = compare_runs(one, other)
    assert found.changed == {"file.name": ("a", "b"), "settings.queue": (1, 4), "settings.loops": (3, None)}
    facts = json.loads(json.dumps(found.to_dict()))
    assert facts["incomplete"] == [str(other)] and facts["rows"][0][SPEED]["ratio"] == 1.0
    assert facts["rows"][0]["scores"]["accuracy"]["difference"] == 0


def test_energy_is_compared_where_both_have_it(tmp_path: Path) -> None:
    rows = [load_row(1, 8, energy={"joules_per_sample": value}) for value in (2.0, 1.0)]
    one, other = (save_run(tmp_path / f"{index}.json", row) for index, row in enumerate(rows))
    assert compare_runs(one, other).ratio("1 x 8", "joules_per_sample") == 0.5
    plain = save_run(tmp_path / "plain.json", load_row(1, 8))
    assert compare_runs(one, plain).pair("1 x 8", "joules_per_sample") is None


def test_a_row_without_an_answer_has_no_ratio(tmp_path: Path) -> None:
    one = save_run(tmp_path / "a.json", load_row(1, 8, samples_per_second=0.0, spread=None))
    found = compare_runs(one, one)
    assert found.speedup is None and found.noise("1 x 8") is None


def test_results_of_the_bench_are_runs_too(tmp_path: Path) -> None:
    path, report = tmp_path / "results.json", make_report()
    save(path, report)
    rows = read_run(path).rows
    assert {"bertc int8, 1 x 16", "bertc int8, sorted", "openvino int8, 8 x 16"} <= rows.keys()
    assert rows["bertc int8, sorted"].scores == {"spearman": 82.0}
    assert compare_runs(path, path).speedup == 1.0
    save(path, {**report, "settings": {**report["settings"], "threads": 4}})
    assert "tiny, 4 threads: bertc int8, 1 x 16" in read_run(path).rows
    only = {key: [row for row in report[key] if row["engine"] == "bertc int8"] for key in ("shapes", "texts")}
    save(tmp_path / "one.json", {**report, **only, "engines": report["engines"][:1]})
    assert "1 x 16" in read_run(tmp_path / "one.json").rows


def test_what_load_writes_is_read(artifact: MakeArtifact, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    report = run_load(LoadSettings(artifact(), (1,), (8,), loops=1))
    path.write_text(json.dumps(report))
    assert list(read_run(path).rows) == ["1 x 8, model alone"]
    assert FORMATS == {KIND: FORMAT, "bench": BENCH_FORMAT}


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"format": 1}', '{"format": 1, "reports": []}',
                                     '{"format": 1, "kind": "load-test", "rows": [{}]}'])  # fmt: skip
def test_other_files_are_no_runs(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(InputError, match=r"x\.json is no run"):
        read_run(tmp_path / "x.json")


def test_newer_formats_and_runs_with_nothing_in_common_are_told(tmp_path: Path) -> None:
    one = save_run(tmp_path / "a.json", load_row(1, 8))
    with pytest.raises(InputError, match="format 9 of bertc load-test"):
        read_run(save_run(tmp_path / "b.json", load_row(1, 8), format=9))
    with pytest.raises(InputError, match="no row in common: they have '1 x 8' and '2 x 8'"):
        compare_runs(one, save_run(tmp_path / "c.json", load_row(2, 8)))
    with pytest.raises(InputError, match=r"cannot read .*none\.json"):
        read_run(tmp_path / "none.json")
