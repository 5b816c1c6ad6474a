"""The pages of two runs and of two folders of outputs need nothing but themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bertc.compare.outputs import compare_outputs
from bertc.compare.runs import compare_runs
from bertc.report import compare_tables
from bertc.report.compare_page import render_outputs, render_runs
from tests.compare.runs import load_row, save_run
from tests.report.test_page import Page


def test_the_page_of_two_runs(tmp_path: Path) -> None:
    slow = load_row(8, 16, energy={"joules_per_sample": 4.0})
    fast = load_row(8, 16, samples_per_second=250.0, energy={"joules_per_sample": 1.0})
    one = save_run(tmp_path / "<a>.json", load_row(1, None), slow, load_row(64, 16))
    scores = {"metrics": {"accuracy": 88.5}}
    other = save_run(tmp_path / "b.json", load_row(1, None, scores=scores), fast, complete=False)
    page = Page(render_runs(compare_runs(one, other)))
    assert page.tags.count("svg") == 3 and page.references == []
    assert all(
        text in page.text for text in ("<a>.json", "2.500", "1.000, within the spread", "-1.50", "0.250")
    )
    assert "b.json was interrupted" in page.text and "Only in A: 64 x 16." in page.text


def test_runs_without_scores_and_energy_have_no_tables_of_them(tmp_path: Path) -> None:
    path = save_run(tmp_path / "a.json", load_row(1, 8, "kernel"))
    found = compare_runs(path, path)
    assert [table.title for table in compare_tables.for_runs(found) if table.rows] == ["speed"]


def test_the_page_of_two_folders(tmp_path: Path) -> None:
    for name, shift in (("one", 0.0), ("two", 0.25)):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "a<b.npy", np.array([[1.0 + shift, 0.5]]))
        np.save(tmp_path / name / "same.npy", np.array([1.0, 2.0]))
        np.save(tmp_path / name / "odd.npy", np.zeros(2 + int(4 * shift)))
        np.save(tmp_path / name / "bad.npy", np.array([shift and np.nan]))
    np.save(tmp_path / "one" / "more.npy", np.zeros(1))
    (tmp_path / "two" / "summary.json").write_text(
        '{"complete": false, "files": {"a<b.npy": {}, "same.npy": {}, "odd.npy": {}, "bad.npy": {}}}'
    )
    found = compare_outputs(tmp_path / "one", tmp_path / "two")
    worst = compare_tables.worst(found)
    assert [row[0] for row in worst.rows] == ["odd", "bad", "a<b"]  # what is the same is not listed
    page = Page(render_outputs(found))
    assert page.references == []
    for text in (
        "a<b",
        "shapes [2] and [3]",
        "1 not finite",
        "0.25",
        "two is partial",
        "more",
        "2 of 2 rows",
    ):
        assert text in page.text
