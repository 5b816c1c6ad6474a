"""Prepared inputs through the command line: made, run, and scored."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import bertc
from tests.cli.conftest import Run
from tests.conftest import MakeArtifact

NER = "john B-PER\nsmith I-PER\nlives O\n\nin O\nParis B-LOC\n"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "dev.txt"
    path.write_text(NER)
    return path


@pytest.mark.parametrize(("form", "save_as"), [("npz", "npz"), ("npy", "txt"), ("bin", "bin")])
def test_inputs_are_prepared_run_and_scored(
    run: Run, artifact: MakeArtifact, data: Path, tmp_path: Path, form: str, save_as: str
) -> None:
    model, inputs, outputs = artifact("token_classification"), tmp_path / "in", tmp_path / "out"
    prepared = run.json(
        "data", "prepare", form, "-m", model, "-d", data, "-o", inputs, "--length", "8,64", "--columns", "1,2"
    )
    assert prepared == {"output": str(inputs), "samples": 2, "sequences": 2, "tokens": prepared["tokens"]}
    source = inputs / "npz_datalist.txt" if form == "npz" else inputs
    done = run("run", model, "--data-list", source, "-o", outputs, "--save-as", save_as)
    assert done.code == 0 and "samples_per_second" in done.out and done.err == ""
    summary = json.loads((outputs / "summary.json").read_text())
    assert summary["command"].startswith("bertc run") and "--data-list" in summary["command"]
    result = run.json("eval", "ner", model, "-d", data, "--reference", outputs)
    assert result["comparison"]["reference"]["metrics"] == result["metrics"]


def test_outputs_of_tokens_that_another_tool_wrote(
    run: Run, artifact: MakeArtifact, data: Path, tmp_path: Path
) -> None:
    model, outputs = artifact("token_classification"), tmp_path / "out"
    outputs.mkdir()
    labels = list(bertc.load(model).info.labels)
    for number, tags in enumerate((["O", "B-PER", "I-PER", "O"], ["O", "O", "B-LOC"])):
        array = np.zeros((1, 64, len(labels)), np.float32)
        for token, tag in enumerate(tags):
            array[0, token, labels.index(tag)] = 1
        np.savez(outputs / f"{number}.npz", output_0=array)
    result = run.json("eval", "ner", model, "-d", data, "--reference", outputs)
    assert result["comparison"]["reference"]["metrics"]["f1"] == 100
    for spoil, message in (
        (lambda: np.save(outputs / "2.npy", array), "out has 3 outputs, but the data has 2 inputs"),
        (lambda: (outputs / "1.npz").unlink(), "out: no output of sample 1"),
        (lambda: (outputs / "2.npy").unlink(), "out has 1 outputs, but the data has more inputs"),
        (lambda: np.save(outputs / "1.npy", array[0, :3]), "1.npy has 15 numbers, expected 5 for each of 4"),
    ):
        spoil()
        failed = run("eval", "ner", model, "-d", data, "--reference", outputs)
        assert failed.code == 1 and message in failed.err and failed.err.count("\n") == 1


def test_a_partial_folder_is_no_reference(
    run: Run, artifact: MakeArtifact, data: Path, tmp_path: Path
) -> None:
    model, inputs = artifact("token_classification"), tmp_path / "in"
    inputs.mkdir()
    np.save(inputs / "0.npy", np.array([[2, 5, 3]]))
    np.save(inputs / "1.npy", np.array([[2, 999, 3]]))
    failed = run("run", model, "--data-list", inputs, "-o", tmp_path / "out")
    assert failed.code == 1 and failed.err.count("\n") == 1
    assert "1.npy, sample 1: the id 999" in failed.err and "marked as partial" in failed.err
    refused = run("eval", "ner", model, "-d", data, "--reference", tmp_path / "out")
    assert refused.code == 1 and "out is partial" in refused.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data-list", "x", "a text"], "leave texts and --input out"),
        (["--data-list", "x"], "name a new folder for the outputs"),
        (["--data-list", "x", "-o", "out", "--save-as", "csv"], "expected one of npz, npy, bin, txt"),
    ],
)
def test_misuse_of_data_lists(run: Run, artifact: MakeArtifact, arguments: list[str], message: str) -> None:
    outcome = run("run", artifact(), *arguments)
    assert outcome.code == 2 and message in " ".join(outcome.err.replace("│", " ").split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--length", "x"], "expected numbers as in 128 or 64,128"),
        (["--length", "0"], "expected numbers as in 128 or 64,128"),
        (["--arrays", "4"], "expected one of 3, 6"),
    ],
)
def test_misuse_of_prepare(run: Run, data: Path, arguments: list[str], message: str) -> None:
    outcome = run("data", "prepare", "npz", "-m", "x.bertc", "-d", data, "-o", "out", *arguments)
    assert outcome.code == 2 and message in " ".join(outcome.err.replace("│", " ").split())


def test_missing_files_are_told_in_one_line(run: Run, artifact: MakeArtifact, tmp_path: Path) -> None:
    for arguments in (
        ("data", "prepare", "npy", "-m", artifact(), "-d", tmp_path / "none.tsv", "-o", tmp_path / "out"),
        ("run", artifact(), "--data-list", tmp_path / "none.tsv", "-o", tmp_path / "out"),
    ):
        outcome = run(*arguments)
        assert outcome.code == 1 and "none.tsv: No such file" in outcome.err and outcome.err.count("\n") == 1
