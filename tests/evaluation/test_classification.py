from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bertc.errors import InputError
from bertc.evaluation import classification

LABELS = ("negative", "positive")


class Keyword:
    """Says positive where a text, or the second of a pair, holds "good"."""

    def classify(self, inputs: Any) -> Any:
        texts = [item if isinstance(item, str) else item[1] for item in inputs]
        return [{"label": LABELS["good" in text], "score": 1.0} for text in texts]


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "dev.tsv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "sample"),
    [
        ('label\tsentence\n1\ta "good" film', ('a "good" film', 1)),
        ("sentence\tlabel\nfine\t0", ("fine", 0)),
        ("\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t7\t8\ta\tb", (("a", "b"), 1)),
        ("id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n0\t1\t2\ta\tb\t1", (("a", "b"), 1)),
        ("index\tquestion\tsentence\tlabel\n0\ta\tb\tPositive", (("a", "b"), 1)),
        ("index\tsentence1\tsentence2\tlabel1\tgold_label\n0\ta\tb\tx\tnegative", (("a", "b"), 0)),
        ("label\ttext\n0\t", ("", 0)),
    ],
)
def test_glue_layouts(tmp_path: Path, text: str, sample: tuple[Any, int]) -> None:
    assert classification.read(write(tmp_path, text), LABELS) == [sample]


def test_binary_scores_are_those_of_label_1(tmp_path: Path) -> None:
    rows = [(1, "good"), (1, "good"), (1, "bad"), (0, "good"), (0, "bad")]
    path = write(tmp_path, "label\tsentence\n" + "".join(f"{label}\t{text}\n" for label, text in rows))
    result = classification.evaluate(Keyword(), path, LABELS)
    assert result.metrics == {
        "accuracy": pytest.approx(60),
        "precision": pytest.approx(200 / 3),
        "recall": pytest.approx(200 / 3),
        "f1": pytest.approx(200 / 3),
    }
    assert result.counts == {"samples": 5}


def test_an_engine_with_other_labels_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "label\tsentence\n1\tgood\n")
    with pytest.raises(InputError, match="answers 'positive', which is none of the labels a, b"):
        classification.evaluate(Keyword(), path, ("a", "b"))


def test_more_labels_give_macro_averages(tmp_path: Path) -> None:
    labels = ("negative", "positive", "never")
    path = write(tmp_path, "label\tsentence1\tsentence2\n1\tx\tgood\n0\tx\tbad\n2\tx\tbad\n")
    result = classification.evaluate(Keyword(), path, labels)
    assert result.metrics == {
        "accuracy": pytest.approx(200 / 3),
        "precision": pytest.approx(100 * (0.5 + 1 + 0) / 3),
        "recall": pytest.approx(200 / 3),
        "f1": pytest.approx(100 * (2 / 3 + 1 + 0) / 3),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sentence\na", "line 1: no column for the label"),
        ("label\n1", "line 1: no column for the text"),
        ("label\tsentence\n1\tgood\n2\tgood", r"line 3: the label '2' is none of .*0 \(negative\)"),
        ("label\tsentence\n1", "line 2: 1 columns, expected at least 2"),
        ("label\tsentence\n", "no samples"),
        ("", "no samples"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        classification.read(write(tmp_path, text), LABELS)
