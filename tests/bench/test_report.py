from __future__ import annotations

import json
from pathlib import Path

import pytest

from bertc.bench.engine import TEXT_MODES
from bertc.bench.peaks import Peaks
from bertc.bench.plots import save_plots
from bertc.bench.report import best_peaks, limit, load_results, rate, ratios, save
from bertc.cli.bench_tables import print_peaks, print_report
from bertc.errors import InputError
from tests.bench.fakes import facts, make_report, timing

PEAKS = Peaks(2, {"avx2": {"fp32": 2.0, "int8": 3.0}, "avx512": {"fp32": 4.0, "int8": 10.0}}, 20.0)


def test_the_limit_is_that_of_the_best_instruction_set() -> None:
    assert limit(PEAKS, "int8", None) == limit(PEAKS, "int8", "what a peer calls it") == 10.0
    assert limit(PEAKS, "int3", None) is None and limit(None, "int8", None) is None


def test_an_engine_on_a_lower_instruction_set_is_held_against_that() -> None:
    assert limit(PEAKS, "int8", "avx2") == 3.0 and limit(PEAKS, "int8", "avx512") == 10.0


def test_of_two_measurements_the_better_counts() -> None:
    other = Peaks(2, {"avx2": {"fp32": 1.0, "int8": 4.0}, "avx512": {"fp32": 5.0, "int8": 9.0}}, 21.0)
    best = best_peaks([PEAKS, other])
    assert best is not None
    assert best.gops == {"avx2": {"fp32": 2.0, "int8": 4.0}, "avx512": {"fp32": 5.0, "int8": 10.0}}
    assert best.memory_gb_per_second == 21.0
    assert best_peaks([]) is None


def test_a_row_has_its_share_of_the_limit() -> None:
    row = rate(facts("bertc int8"), timing(1.0), PEAKS)  # 10^6 operations in a millisecond: 1 GOP/s
    assert row["engine"] == "bertc int8" and row["percent_of_peak"] == pytest.approx(10.0)
    assert rate(facts("bertc int8"), timing(1.0), None)["percent_of_peak"] is None


def test_ratios_are_given_for_each_shape_and_way_to_run_texts() -> None:
    shapes = {((8, 128), "ours"): timing(2.0, 4.0), ((8, 128), "peer"): timing(3.0, 6.0)}
    texts = {
        ("sorted", "ours"): timing(2.0),
        ("one_call", "ours"): timing(1.0),
        ("sorted", "peer"): timing(2.0),
        ("unsorted", "peer"): timing(5.0),
    }
    rows = ratios(shapes, texts, ["ours"], ["peer"])
    assert {row["work"]: row["median"] for row in rows} == {
        "8x128": 1.5,
        "sorted": 1.0,
        "one_call/sorted": 2.0,
        "one_call/unsorted": 5.0,
    }
    assert all(row["engine"] == "ours" and row["peer"] == "peer" for row in rows)


def test_a_results_file_keeps_one_report_for_each_model(tmp_path: Path) -> None:
    path = tmp_path / "new" / "machine.json"
    first, second, again = make_report(), make_report(), make_report()
    second["model"] = {"name": "other"}
    again["date"] = "2026-02-02"
    for report in (first, second, again):
        save(path, report)
    assert load_results(path) == json.loads(json.dumps([second, again]))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 99, "reports": []}'])
def test_another_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"other\.json"):
        load_results(path)


def test_tables_show_everything(capsys: pytest.CaptureFixture[str]) -> None:
    report = make_report()
    print_report(report)
    out = capsys.readouterr().out
    for text in (
        "Abacus",
        "8x16",
        "one call",
        "openvino int8",
        "82.00",
        "0.99900",
        "it has no heads",
        "total",
    ):
        assert text in out
    call, batches = TEXT_MODES["one_call"].title, TEXT_MODES["sorted"].title
    line = next(line for line in out.splitlines() if f"{call} / {batches}" in line)
    assert [cell.strip() for cell in line.split("│")[2:5]] == ["2.00", "2.00", "3.00"]
    print_peaks(report)
    assert "20" in capsys.readouterr().out


def test_tables_have_no_empty_columns_and_each_meets_its_rivals(capsys: pytest.CaptureFixture[str]) -> None:
    report = make_report()
    assert all(row["worst_cosine"] is None for row in report["accuracy"])
    report["ratios"] += [
        {**row, "engine": "transformers fp32", "peer": peer}
        for row in report["ratios"]
        for peer in ("openvino int8", "transformers fp32")
    ]
    print_report(report)
    out = capsys.readouterr().out
    assert "Spearman" in out and "worst" not in out
    table = out[out.index("transformers fp32 is so many times faster") :].split("└")[0]
    assert "openvino" not in table


def test_a_restless_machine_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    report = make_report()
    print_report(report)
    assert "something else" not in capsys.readouterr().out
    report["shapes"][0]["spread"] = 0.3
    print_report(report)
    assert "In 1 of our 5 rows" in capsys.readouterr().out


def test_tables_of_a_run_without_peers(capsys: pytest.CaptureFixture[str]) -> None:
    report = make_report()
    for key in ("texts", "accuracy", "ratios"):
        report[key] = []
    report.update(peaks=None, failed={}, startup_ms={})
    for row in report["shapes"]:
        row["percent_of_peak"] = None
    print_report(report)
    assert "8x16" in capsys.readouterr().out


def test_plots_are_written_for_what_was_measured(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    report = make_report()
    paths = save_plots(report, tmp_path / "plots", "tiny-")
    assert [path.name for path in paths] == ["tiny-throughput.png", "tiny-texts.png", "tiny-accuracy.png"]
    assert all(path.stat().st_size > 1000 for path in paths)
    report["texts"] = []
    assert [path.name for path in save_plots(report, tmp_path)] == ["throughput.png"]
