from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Run
from tests.compare.runs import load_row, save_run


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "one", tmp_path / "two"]
    for shift, path in enumerate(paths):
        path.mkdir()
        for number in range(14):
            np.save(
                path / f"{number}.npy", np.array([[number + 0.125 * shift * (number > 3), 1.5]], np.float32)
            )
    for number in range(20, 33):
        np.save(paths[0] / f"{number}.npy", np.zeros(2))
    return paths


def test_compare_folders(run: Run, folders: list[Path], tmp_path: Path) -> None:
    facts = run.json("compare", *folders)
    assert facts["first_that_differs"] == "4" and facts["differ"] == 10 and facts["max"] == 0.125
    page = tmp_path / "page.html"
    outcome = run("compare", *folders, "--report", page)
    assert outcome.code == 0 and "first that differs" in outcome.out and "and 3 more" in outcome.out
    assert page.read_text().startswith("<!doctype html>")


def test_a_tolerance_makes_the_comparison_a_check(run: Run, folders: list[Path]) -> None:
    assert run("compare", *folders, "--tolerance", 0.125).code == 1  # some are missing
    for number in range(20, 33):
        (folders[0] / f"{number}.npy").unlink()
    assert run("compare", *folders, "--tolerance", 0.125).code == 0
    outcome = run("compare", *folders, "--tolerance", 0.1, "--json")
    assert outcome.code == 1 and outcome.err == "" and '"differ": 10' in outcome.out


def test_compare_single_files(run: Run, folders: list[Path]) -> None:
    facts = run.json("compare", *(folder / "5.npy" for folder in folders))
    assert facts["files"][0]["max"] == 0.125 and facts["files"][0]["name"] == "5.npy"


def test_compare_runs(run: Run, tmp_path: Path) -> None:
    one = save_run(tmp_path / "a.json", load_row(1, 8), load_row(2, 8))
    other = save_run(tmp_path / "b.json", load_row(1, 8, samples_per_second=300.0), complete=False)
    assert run.json("compare", one, other)["speedup"] == 3.0
    page = tmp_path / "page.html"
    outcome = run("compare", one, other, "--report", page)
    assert outcome.code == 0 and "svg" in page.read_text()
    assert all(text in outcome.out for text in ("3.000", "file.name", "interrupted", "Only in", "accuracy"))


def test_misuse_of_compare(run: Run, folders: list[Path], tmp_path: Path) -> None:
    saved = save_run(tmp_path / "a.json", load_row(1, 8))
    assert run("compare", folders[0], saved).code == 2
    assert run("compare", *folders, "--bin-dtype", "float128").code == 2
    outcome = run("compare", folders[0], tmp_path / "none")
    assert outcome.code == 1 and "none" in outcome.err and outcome.err.count("\n") == 1
    assert run("compare", *folders, "--report", tmp_path / "no" / "page.html").code == 1
