"""The page of an evaluation needs nothing but itself, and says what the result says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertc.evaluation.classification import Classification
from bertc.evaluation.evaluator import compare, evaluate
from bertc.report import charts
from bertc.report.score_page import WORST, render
from tests.report.test_page import Page

LABELS = ("<b>bad</b>", "good")


class Recorded:
    def __init__(self, answers: Any) -> None:
        self.answers = answers

    def classify(self, inputs: Any) -> Any:
        return [{"label": LABELS[answer]} for answer in self.answers[: len(inputs)]]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "dev.tsv"
    rows = "".join(f"good\t<i>text</i> {index} {'long ' * 100}\n" for index in range(60))
    path.write_text(f"label\tsentence\n{rows}")
    return path


def test_the_page_says_what_the_comparison_says(data: Path) -> None:
    right, wrong = np.ones(60, int), np.repeat([0, 1], 30)
    result, comparison = compare(Classification(LABELS), Recorded(wrong), Recorded(right), data)
    source = render("model & data", {"model": "<a>", "seed": "0"}, result, comparison)
    page = Page(source)
    assert not page.references and "<i>" not in source and "<b>bad" not in source
    assert comparison.summary in page.text and "the difference is real: worse" in page.text
    for shown in ("model & data", "<a>", "accuracy", "50.00", "100.00", "-50.00", "<b>bad</b>"):
        assert shown in page.text
    assert page.text.count("<i>text</i>") == WORST
    assert max(len(each) for each in page.texts if "<i>text</i>" in each) == 300
    assert "good taken for <b>bad</b>: 30 of 60" in page.text


def test_without_a_reference_there_is_no_comparison(data: Path) -> None:
    result = evaluate(Classification(LABELS), Recorded(np.ones(60, int)), data)
    page = Page(render("a", {}, result))
    assert "difference" not in page.text and "disagree" not in page.text
    assert page.tags.count("svg") == 1


def test_of_many_classes_those_with_most_errors_are_drawn() -> None:
    counts = np.diag(np.full(100, 5))
    counts[70, 80] = 3
    names = [f"class{index}" for index in range(100)]
    drawing = charts.confusion_grid(names, counts.tolist(), most=2)
    assert "class70 taken for class80: 3 of 8" in drawing
    assert drawing.count("taken for class") == 4 and "class1 " not in drawing
