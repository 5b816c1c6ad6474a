from __future__ import annotations

from typing import Any

import targets

from tests.bench.fakes import make_report


def minilm_report(flags: list[str]) -> dict[str, Any]:
    """The made-up report as one of MiniLM, with a fast run of 8x128 in it."""
    report = make_report()
    report["model"] = {"name": "all-MiniLM-L6-v2"}
    report["machine"]["flags"] = flags
    row = report["shapes"][0]
    report["shapes"].append({**row, "batch": 8, "length": 128, "percent_of_peak": 66.0})
    report["shapes"].append({**row, "p50_ms": 0.5})
    report["ratios"].append({**report["ratios"][0], "work": "8x128", "median": 1.1})
    report["engines"][0]["matrix_mb"] = 9.0
    return report


def measured(report: dict[str, Any]) -> dict[tuple[str, str], tuple[str, str]]:
    """Measured and met, by work and by what was wanted."""
    return {row[:2]: row[2:] for row in targets.judge([report])}


def test_a_floor_that_is_reached_and_a_goal_that_is_not() -> None:
    rows = measured(minilm_report(["avx512_vnni"]))
    assert rows["MiniLM int8, 8x128", ">= 64 % of peak, goal 72"] == ("66 % of peak", "yes, not the goal")
    assert rows["MiniLM int8, 8x128", ">= 1.2 x the best peer, goal 1.35"] == (
        "1.10 x the best peer (openvino int8)",
        "**no**",
    )


def test_one_of_two_ways_to_meet_a_target_is_enough() -> None:
    report = minilm_report(["avx512_vnni"])
    wanted = ("MiniLM int8, latency 1x16", ">= 1.4 x the best peer or >= 85 % of memory bandwidth")
    assert measured(report)[wanted][1] == "yes"
    report["shapes"] = report["ratios"] = []
    assert measured(report)[wanted] == ("not measured", "")


def test_a_limit_must_not_be_passed() -> None:
    rows = measured(minilm_report(["avx512_vnni"]))
    assert rows["MiniLM int8, process to first embedding", "<= 300 ms"] == ("250 ms", "yes")
    assert rows["MiniLM int8, accuracy", ">= 0.9985 mean cosine to fp32"][0] == "0.99900 mean cosine to fp32"
    assert rows["MiniLM int8, memory at 32x128", "<= 60 MB beyond the weights"][1] == "yes"
    assert rows["MiniLM int8, 2 threads at 8x128", ">= 1.9 x one thread"] == ("1.95 x one thread", "yes")


def test_what_no_file_tells_is_not_measured() -> None:
    rows = measured(minilm_report(["avx512_vnni"]))
    base = {wanted: found for (work, wanted), found in rows.items() if work.startswith("MPNet")}
    assert base and set(base.values()) == {("not measured", "")}


def test_each_kind_of_machine_has_its_own_list() -> None:
    with_vnni, without = (minilm_report(flags) for flags in (["avx512_vnni"], ["avx2"]))
    assert any(work.startswith("MiniLM int7") for work, _ in measured(without))
    assert not any("int7" in work for work, _ in measured(with_vnni))


def test_runs_with_another_number_of_threads_do_not_count() -> None:
    report = minilm_report(["avx512_vnni"])
    report["settings"]["threads"] = 1
    assert {row[2] for row in targets.judge([report])} == {"not measured"}
