"""``bertc finetune``: its options, and one line for what is wrong."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run
from tests.conftest import MakeArtifact
from tests.support.sentence_models import one_thread
from tests.support.tiny_models import LABELS
from tests.training.conftest import classes, entities

__all__ = ["one_thread"]
"""A fixture for all tests here."""
pytestmark = pytest.mark.native


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.tsv"
    path.write_text(classes(), encoding="utf-8")
    return path


def arguments(kind: str, base: object, data: Path, *more: object) -> list[object]:
    output = data.parent / "out"
    return ["finetune", kind, "--base", base, "--data", data, "--eval", data, "-o", output, *more]


def test_from_data_to_a_compiled_file(run: Run, checkpoint: MakeArtifact, data: Path) -> None:
    given = arguments("classify", checkpoint("classification"), data, "--epochs", 1, "--dtype", "fp32")
    facts = run.json(*given)
    assert facts["best_epoch"] == 1 and facts["metric"] == "accuracy"
    assert facts["scores"]["accuracy"] == facts["epochs"][0]["metrics"]["accuracy"]
    answer = run("classify", facts["artifact"], "a good film").out
    assert any(label in answer for label in LABELS["classification"])  # the head of the base was kept
    again = run(*given)  # a run that is complete is compiled again, not trained
    assert again.code == 0
    assert "epoch 1" not in again.err and "100.00 % of the labels" in again.out, again.out
    refused = run(*given, "--seed", 1)
    assert refused.code == 1 and refused.err.count("\n") == 1
    assert "seed was 0, now 1. Name another folder" in refused.err


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (["--max-length", 65], 1, "max_length is 65, but .* takes at most 64 tokens"),
        (["--labels", "a"], 2, "expected two names or more"),
        (["--labels", "a,b"], 1, "the base has a head with the labels negative, positive: leave out labels"),
        (["--columns", "label,body"], 1, "no column body"),
        (["--recipe", "none.json"], 1, "none.json"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_written(
    run: Run, checkpoint: MakeArtifact, data: Path, more: list[Any], code: int, message: str
) -> None:
    outcome = run(*arguments("classify", checkpoint("classification"), data, *more))
    assert outcome.code == code
    assert re.search(message, outcome.err), outcome.err
    assert not (data.parent / "out").exists()


def test_labels_that_the_head_of_the_base_lacks_are_refused(
    run: Run, checkpoint: MakeArtifact, data: Path
) -> None:
    data.write_text(entities().replace("LOC", "ORG"), encoding="utf-8")
    outcome = run(*arguments("ner", checkpoint("token_classification"), data))
    assert outcome.code == 1
    assert "the labels B-ORG, I-ORG are none of the base's, O, B-PER" in outcome.err


def test_a_base_that_is_none_is_told(run: Run, data: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    outcome = run(*arguments("classify", tmp_path / "empty", data))
    assert outcome.code == 1 and outcome.err.count("\n") == 1
    assert "cannot read the base" in outcome.err


def test_a_missing_package_names_the_extra(
    run: Run, checkpoint: MakeArtifact, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    outcome = run(*arguments("classify", checkpoint(), data))
    assert outcome.code == 1
    assert "fine-tuning needs the package 'torch': pip install \"bertc[train]\"" in outcome.err
