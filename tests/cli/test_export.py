"""``bertc export``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.conftest import MakeArtifact

onnx = pytest.importorskip("onnx", reason="ONNX files are written by the package onnx")


def test_export_writes_a_file_and_tells_what_it_is(
    run: Run, checkpoint: MakeArtifact, tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    found = run.json("export", "onnx", checkpoint(), "-o", path, "--opset", "18", "--length", "16")
    assert found["output"] == str(path) and found["bytes"] == path.stat().st_size
    assert (found["format"], found["opset"]) == ("fp32", 18)
    sizes = onnx.load(path).graph.input[0].type.tensor_type.shape.dim
    assert (sizes[0].dim_param, sizes[1].dim_value) == ("batch_size", 16)
    assert "exported" in run("export", "onnx", checkpoint(), "-o", path).out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--opset", "99"], "expected a number from 13 to 22"),
        (["-o", "absent/model.onnx"], "does not exist"),
    ],
)
def test_what_cannot_be_written_is_one_line(
    run: Run, checkpoint: MakeArtifact, tmp_path: Path, options: list[str], message: str
) -> None:
    outcome = run("export", "onnx", checkpoint(), "-o", tmp_path / "model.onnx", *options)
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (1, "", 1)
    assert message in outcome.err


def test_an_unknown_format_is_misuse(run: Run, checkpoint: MakeArtifact, tmp_path: Path) -> None:
    outcome = run("export", "onnx", checkpoint(), "-o", tmp_path / "model.onnx", "--format", "int4")
    assert outcome.code == 2 and "'int4' is not one of 'fp32', 'qdq', 'qoperator'" in " ".join(
        outcome.err.replace("│", " ").split()
    )


def test_a_compiled_file_that_is_not_there_is_told_as_one(run: Run, tmp_path: Path) -> None:
    outcome = run("export", "onnx", tmp_path / "absent.bertc", "-o", tmp_path / "model.onnx")
    assert outcome.code == 1 and "hub" not in outcome.err and "absent.bertc" in outcome.err
