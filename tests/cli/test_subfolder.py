"""Commands that compile a checkpoint take the folder inside the model's that it is in."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.conftest import MakeArtifact


@pytest.fixture
def outer(checkpoint: MakeArtifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BERTC_CACHE", str(tmp_path / "cache"))
    shutil.copytree(checkpoint(), tmp_path / "outer" / "inner")
    return tmp_path / "outer"


def test_eval_and_bench(run: Run, outer: Path, tmp_path: Path) -> None:
    data = tmp_path / "sts.csv"
    data.write_text("sentence1,sentence2,score\nthe cat,a dog,1.5\na man,the man,4\nred,blue,2\n")
    for command in (
        ("eval", "sts", outer, "--data", data),
        ("bench", outer, "--layers", "--batch", "1", "--length", "8", "--seconds", "0"),
    ):
        assert run(*command).code == 1
        found = run(*command, "--subfolder", "inner")
        assert found.code == 0, found.err


def test_recipes(run: Run, outer: Path) -> None:
    for command in ("check", "explain"):
        arguments = ("recipe", command, "default", "--model", outer)
        assert run(*arguments).code == 1
        found = run(*arguments, "--subfolder", "inner")
        assert found.code == 0, found.err
