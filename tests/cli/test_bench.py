"""``bertc bench``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.conftest import MakeArtifact


def test_bench(run: Run, artifact: MakeArtifact, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("one\ntwo three\n")
    quick = ("--batch", "1,2", "--length", 4, "--warmup", 0, "--repeats", 3, "--seconds", 0, "--threads", 1)
    results, texts = tmp_path / "results.json", tmp_path / "texts.txt"
    report = run.json(
        "bench", artifact(), *quick, "--input", texts, "--no-startup", "--no-peaks", "--save", results
    )
    assert [(row["batch"], row["length"], row["repeats"]) for row in report["shapes"]] == [
        (1, 4, 3),
        (2, 4, 3),
    ]
    assert {row["tokens"] for row in report["texts"]} == {7} and report["settings"]["threads"] == 1
    assert report["startup_ms"] == {} and report["peaks"] is None
    assert json.loads(results.read_text())["reports"] == [report]
    outcome = run("bench", artifact(), *quick, "--no-peaks")
    assert outcome.code == 0 and "tokens/s" in outcome.out and "first_run" in outcome.out


def test_bench_runs_the_usual_lengths_that_the_model_has(run: Run, artifact: MakeArtifact) -> None:
    quick = ("--batch", 1, "--repeats", 1, "--seconds", 0, "--no-startup", "--no-memory", "--no-peaks")
    assert [row["length"] for row in run.json("bench", artifact(), *quick)["shapes"]] == [16]


def test_bench_by_layers(run: Run, artifact: MakeArtifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bertc.bench.peaks.SECONDS", 0.0005)
    monkeypatch.setattr("bertc.bench.peaks.TRIALS", 1)
    monkeypatch.setattr("bertc.bench.peaks.MEMORY_BYTES", 2**20)
    quick = ("--layers", "--seconds", 0, "--length", 8, "--threads", 1)
    report = run.json("bench", artifact(), *quick)
    assert [(row["batch"], row["length"]) for row in report["layers"]] == [(1, 8), (8, 8)]
    assert report["peaks"]["threads"] == 1
    outcome = run("bench", artifact(), *quick)
    assert outcome.code == 0
    assert all(
        word in outcome.out for word in ("GEMM", "idle", "encoder.layer.*.", "1x8", "caches were read")
    )
    assert run("bench", artifact(), *quick, "--against", "openvino").code == 2
    assert run("bench", *quick).code == 2


def test_bench_of_the_machine_alone(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bertc.bench.peaks.SECONDS", 0.0005)
    monkeypatch.setattr("bertc.bench.peaks.TRIALS", 1)
    monkeypatch.setattr("bertc.bench.peaks.MEMORY_BYTES", 2**20)
    report = run.json("bench", "--peaks", "--threads", 1)
    assert report["peaks"]["threads"] == 1 and report["peaks"]["memory_gb_per_second"] > 0
    outcome = run("bench")
    assert outcome.code == 0 and "scalar" in outcome.out
    assert run("bench", "--no-peaks").code == 2


def test_bench_against_a_peer_needs_its_checkpoint(
    run: Run, artifact: MakeArtifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bertc.bench.peers.openvino.OpenVinoPeer.packages", ())
    outcome = run("bench", artifact(), "--against", "openvino", "--no-peaks")
    assert outcome.code == 1 and "checkpoint" in outcome.err and outcome.err.count("\n") == 1
