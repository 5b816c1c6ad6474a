"""``bertc statistics``: what is collected once is used again, by the same model alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.conftest import MakeArtifact
from tests.support.onnx_models import OnnxBert
from tests.support.tiny_models import make_bert_checkpoint


@pytest.fixture
def collected(run: Run, checkpoint: MakeArtifact, tmp_path: Path) -> Path:
    path = tmp_path / "tiny.statistics"
    outcome = run("statistics", "collect", checkpoint(), "-o", path)
    assert outcome.code == 0 and "sample texts that bertc ships" in outcome.out
    return path


def _recipe(tmp_path: Path, statistics: Path) -> Path:
    path = tmp_path / "again.json"
    path.write_text(json.dumps({"calibration": {"statistics": str(statistics)}}))
    return path


def test_collected_statistics_are_shown_and_give_the_same_file(
    run: Run, checkpoint: MakeArtifact, collected: Path, tmp_path: Path
) -> None:
    shown = run.json("statistics", "show", collected)
    assert shown["provenance"]["samples"] == 512 and len(shown["provenance"]["weights_sha256"]) == 64
    assert "encoder.layer.1.intermediate.dense" in {edge["input"] for edge in shown["edges"]}
    assert "encoder.layer.1.intermediate.dense" in run("statistics", "show", collected).out
    again, fresh = tmp_path / "again.bertc", tmp_path / "fresh.bertc"
    assert run("compile", checkpoint(), "-o", again, "--recipe", _recipe(tmp_path, collected)).code == 0
    assert run("compile", checkpoint(), "-o", fresh).code == 0
    hashes = {run.json("show", path)["file"]["weights_sha256"] for path in (again, fresh)}
    assert len(hashes) == 1


def test_statistics_of_other_weights_are_refused(run: Run, collected: Path, tmp_path: Path) -> None:
    """Every edge fits: only the weights differ."""
    other = make_bert_checkpoint(tmp_path / "other", "embedding", seed=7)
    output = tmp_path / "other.bertc"
    outcome = run("compile", other, "-o", output, "--recipe", _recipe(tmp_path, collected))
    assert (outcome.code, outcome.err.count("\n")) == (1, 1) and not output.exists()
    assert "has the statistics of" in outcome.err and "collect them again" in outcome.err


@pytest.mark.parametrize("output", ["absent/tiny.statistics", "."])
def test_a_destination_that_cannot_be_is_found_before_the_work(
    run: Run, checkpoint: MakeArtifact, tmp_path: Path, output: str
) -> None:
    outcome = run("statistics", "collect", checkpoint(), "-o", tmp_path / output)
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (1, "", 1)
    assert "folder" in outcome.err


@pytest.mark.filterwarnings("ignore:.*has no tokenizer")
def test_parts_of_onnx_files_have_statistics_too(run: Run, tmp_path: Path) -> None:
    """Those of a file with other weights are refused: once all files without safetensors were the same."""
    pytest.importorskip("onnx")
    path, part = OnnxBert().save(tmp_path / "tiny.onnx"), ("--until", "encoder.layer.0.intermediate.dense")
    statistics, output = tmp_path / "tiny.statistics", tmp_path / "tiny.bertc"
    assert run("statistics", "collect", path, "-o", statistics, *part).code == 0
    recipe = ("--recipe", _recipe(tmp_path, statistics))
    assert run("compile", path, "-o", output, *part, *recipe).code == 0
    other = OnnxBert(layers=2).save(tmp_path / "other.onnx")
    outcome = run("compile", other, "-o", tmp_path / "other.bertc", *part, *recipe)
    assert outcome.code == 1 and "has the statistics of tiny" in outcome.err


def test_statistics_do_not_replace_the_model(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"")
    outcome = run("statistics", "collect", path, "-o", path)
    assert outcome.code == 1 and "is the source" in outcome.err
