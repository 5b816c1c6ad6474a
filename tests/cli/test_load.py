from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Run
from tests.conftest import MakeArtifact

QUICK = ("--loops", 1, "--warmup", 0, "--threads", 1)


def test_load_on_a_labeled_file(run: Run, artifact: MakeArtifact, tmp_path: Path) -> None:
    data, saved = tmp_path / "dev.tsv", tmp_path / "run.json"
    data.write_text("label\tsentence\n0\tthe cat\n1\ta dog\n0\tone two three\n")
    options = ("--data", data, "--batch", "1,2", "--length", "8,real", *QUICK)
    report = run.json("load-test", artifact("classification"), *options, "--save", saved)
    assert [(row["batch"], row["length"]) for row in report["rows"][::2]] == [
        (1, 8),
        (2, 8),
        (1, None),
        (2, None),
    ]
    assert json.loads(saved.read_text()) == report and report["command"][:2] == [
        "load-test",
        str(artifact("classification")),
    ]
    outcome = run("load-test", artifact("classification"), *options)
    assert outcome.code == 0
    assert all(word in outcome.out for word in ("accuracy", "model alone", "real", "dev.tsv", "padding"))


def test_load_of_texts_and_prepared_ids(run: Run, artifact: MakeArtifact, tmp_path: Path) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("the cat\na dog\n")
    report = run.json("load-test", artifact(), "-i", texts, "--scope", "end-to-end", *QUICK)
    assert [(row["length"], row["scope"], row["samples"]) for row in report["rows"]] == [
        (None, "end_to_end", 2)
    ]
    folder = tmp_path / "ids"
    folder.mkdir()
    for number in range(3):
        np.save(folder / f"{number}.npy", np.arange(2 + number))
    report = run.json("load-test", artifact(), "-i", folder, "--batch", 2, *QUICK)
    assert [(row["scope"], row["requests"], row["samples"]) for row in report["rows"]] == [("kernel", 2, 3)]


def test_load_of_made_up_ids_over_a_range_of_lengths(run: Run, artifact: MakeArtifact) -> None:
    report = run.json("load-test", artifact(), "--length", "4:12:4,6", "--fill", "zero", *QUICK)
    assert [row["length"] for row in report["rows"]] == [4, 8, 12, 6]
    assert report["settings"]["fill"] == "zero"
    assert [row["length"] for row in run.json("load-test", artifact(), *QUICK)["rows"]] == [64]


def test_a_load_that_is_too_high_is_told(run: Run, artifact: MakeArtifact) -> None:
    rate = ("--rate", 1e6, "--seconds", 0.002, "--length", 8, "--warmup", 0, "--arrivals", "poisson")
    outcome = run("load-test", artifact(), *rate)
    assert outcome.code == 0 and "1,000,000.0 that arrived" in outcome.out and "were given up" in outcome.out


@pytest.mark.parametrize(
    "options",
    [
        ("--data", "a.tsv", "--input", "a.txt"),
        ("--rate", 0),
        ("--rate", 1, "--loops", 1),
        ("--batch", "0"),
        ("--batch", "real"),
        ("--batch", "1,x"),
        ("--length", "8:4"),
        ("--length", "4:8:0"),
        ("--fill", "ones"),
        ("--seconds", 0),
    ],
)
def test_misuse_of_load(run: Run, artifact: MakeArtifact, options: tuple[object, ...]) -> None:
    outcome = run("load-test", artifact(), *options)
    assert outcome.code == 2 and outcome.out == ""


def test_what_load_cannot_read_is_one_line(run: Run, artifact: MakeArtifact, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("")
    np.save(tmp_path / "vectors.npy", np.ones((2, 3, 4), np.float32) / 3)
    for name, message in (
        ("empty.txt", "no texts"),
        ("vectors.npy", "these are vectors"),
        ("none.txt", "cannot read"),
    ):
        outcome = run("load-test", artifact(), "-i", tmp_path / name)
        assert outcome.code == 1 and message in outcome.err and outcome.err.count("\n") == 1


def test_a_checkpoint_is_compiled_by_its_recipe(
    run: Run,
    artifact: MakeArtifact,
    checkpoint: MakeArtifact,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BERTC_CACHE", str(tmp_path / "cache"))
    done = run("load-test", checkpoint(), "--recipe", "bf16", "--length", 8, "--json", *QUICK)
    assert done.code == 0 and json.loads(done.out)["file"]["dtype"] == "bf16"
    refused = run("load-test", artifact(), "--recipe", "bf16", *QUICK)
    assert refused.code == 1 and "is compiled already: a recipe is for a checkpoint" in refused.err
