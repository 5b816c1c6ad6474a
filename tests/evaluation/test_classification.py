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
    name = "0" if text.startswith("id") else "line 2"
    assert classification.read(write(tmp_path, text), LABELS) == [(*sample, name)]


def test_binary_scores_are_those_of_label_1(tmp_path: Path) -> None:
    rows = [(1, "good"), (1, "good"), (1, "bad"), (0, "good"), (0, "bad")]
    path = write(tmp_path, "label\tsentence\n" + "".join(f"{label}\t{text}\n" for label, text in rows))
    result = classification.evaluate(Keyword(), path, LABELS)
    assert result.metrics == {
        "accuracy": pytest.approx(60),
        "precision": pytest.approx(200 / 3),
        "recall": pytest.approx(200 / 3),
        "f1": pytest.approx(200 / 3),
        "f1_macro": pytest.approx(100 * (2 / 3 + 1 / 2) / 2),
        "f1_micro": pytest.approx(60),
        "f1_weighted": pytest.approx(100 * (3 * 2 / 3 + 2 * 1 / 2) / 5),
        "matthews": pytest.approx(100 * (2 * 1 - 1 * 1) / 6),
    }
    assert result.counts == {"samples": 5}
    assert result.classes["negative"] == {"precision": 50, "recall": 50, "f1": 50, "samples": 2}
    assert result.confusion is not None
    assert result.confusion.labels == LABELS and result.confusion.counts.tolist() == [[1, 1], [1, 2]]


def test_an_engine_with_other_labels_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "label\tsentence\nb\tgood\n")
    with pytest.raises(InputError, match="answers 'positive', which is none of the labels a, b"):
        classification.evaluate(Keyword(), path, ("a", "b"))


def test_more_labels_give_macro_averages(tmp_path: Path) -> None:
    labels = ("negative", "positive", "never")
    rows = "positive\tx\tgood\nnegative\tx\tbad\nnever\tx\tbad\n"
    path = write(tmp_path, f"label\tsentence1\tsentence2\n{rows}")
    result = classification.evaluate(Keyword(), path, labels)
    assert result.metrics == {
        "accuracy": pytest.approx(200 / 3),
        "precision": pytest.approx(100 * (0.5 + 1 + 0) / 3),
        "recall": pytest.approx(200 / 3),
        "f1": pytest.approx(100 * (2 / 3 + 1 + 0) / 3),
        "f1_macro": pytest.approx(100 * (2 / 3 + 1 + 0) / 3),
        "f1_micro": pytest.approx(200 / 3),
        "f1_weighted": pytest.approx(100 * (2 / 3 + 1 + 0) / 3),
        "matthews": pytest.approx(100 * (2 * 3 - 3) / (6 * 4) ** 0.5),
    }


def test_labels_that_occur_nowhere_do_not_count(tmp_path: Path) -> None:
    path = write(tmp_path, "label\tsentence\npositive\tgood\nnegative\tbad\n")
    metrics = classification.evaluate(Keyword(), path, ("negative", "neutral", "positive")).metrics
    assert len(metrics) == 8 and set(metrics.values()) == {100}


def numbers_as_read(tmp_path: Path, labels: tuple[str, ...]) -> list[str]:
    """What a file's classes 0, 1, ... are taken for."""
    rows = "".join(f"{number}\ta\tb\n" for number in range(len(labels)))
    path = write(tmp_path, f"label\tsentence1\tsentence2\n{rows}")
    return [labels[sample.label] for sample in classification.read(path, labels)]


@pytest.mark.parametrize(
    "labels",
    [
        ("LABEL_0", "LABEL_1", "LABEL_2"),
        ("negative", "positive"),
        ("entailment", "neutral", "contradiction"),
        ("Not Equivalent", "Equivalent"),
        ("0", "1"),
    ],
)
def test_numbers_in_an_order_that_is_known_are_read_in_silence(
    tmp_path: Path, labels: tuple[str, ...]
) -> None:
    assert numbers_as_read(tmp_path, labels) == list(labels)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [(("LABEL_1", "LABEL_0"), ["LABEL_0", "LABEL_1"]), (("1", "0"), ["0", "1"])],
)
def test_a_number_in_the_name_counts(tmp_path: Path, labels: tuple[str, ...], expected: list[str]) -> None:
    assert numbers_as_read(tmp_path, labels) == expected


@pytest.mark.parametrize(
    "labels", [("contradiction", "entailment", "neutral"), ("CONTRADICTION", "NEUTRAL", "ENTAILMENT")]
)
def test_numbers_are_mapped_by_the_names_of_the_task(tmp_path: Path, labels: tuple[str, ...]) -> None:
    with pytest.warns(UserWarning, match="GLUE documents.*: 0 is (?i:entailment, 1 is neutral)"):
        found = numbers_as_read(tmp_path, labels)
    assert [name.casefold() for name in found] == ["entailment", "neutral", "contradiction"]


@pytest.mark.parametrize("labels", [("spam", "ham"), ("entailment", "not_entailment")])
def test_numbers_of_an_unknown_order_are_a_warning(tmp_path: Path, labels: tuple[str, ...]) -> None:
    with pytest.warns(UserWarning, match=rf"dev.tsv numbers .* unchecked: 0 is {labels[0]}, .* write names"):
        assert numbers_as_read(tmp_path, labels) == list(labels)


def test_perfect_answers_of_a_model_in_another_order_score_100(tmp_path: Path) -> None:
    class Reversed(Keyword):
        def classify(self, inputs: Any) -> Any:
            return [{"label": "equivalent" if "good" in a else "not_equivalent"} for a, _ in inputs]

    rows = "Quality\t#1 String\t#2 String\n1\tgood\tx\n0\tbad\tx\n0\tgood\tx\n"
    path = write(tmp_path, rows)
    with pytest.warns(UserWarning, match="0 is not_equivalent, 1 is equivalent"):
        metrics = classification.evaluate(Reversed(), path, ("equivalent", "not_equivalent")).metrics
    # Of the class that GLUE calls 1, whatever the model calls it.
    assert metrics["precision"] == pytest.approx(50) and metrics["recall"] == pytest.approx(100)


def test_a_model_of_one_label_tells_no_classes_apart(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="1 label"):
        classification.read(write(tmp_path, "label\tsentence\n0\tgood"), ("LABEL_0",))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("label\tsentence\n\tgood", r"line 2, column label: the label '' is none of .*0 \(negative\)"),
        ("label\tsentence\n-1\tgood", r"line 2, column label: the label '-1' is none of"),
        ("sentence\na", "line 1: no column for the label"),
        ("label\n1", "line 1: no column for the text"),
        (
            "label\tsentence\n1\tgood\n2\tgood",
            r"line 3, column label: the label '2' is none of .*0 \(negative\)",
        ),
        ("label\tsentence\n1", "line 2: 1 columns, expected at least 2"),
        (
            "label\tsentence\tid\n1\tgood\tx\n0\tbad\tx",
            "line 3, column label: the id 'x' is that of .*line 2",
        ),
        ("label\tsentence\n", "no samples"),
        ("", "no samples"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        classification.read(write(tmp_path, text), LABELS)
