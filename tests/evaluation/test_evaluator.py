"""The driver: intervals, paired tests and disagreements, the same for every kind of evaluation."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from bertc.evaluation import classification, ner, sts
from bertc.evaluation.classification import Classification
from bertc.evaluation.evaluator import WORST, compare, evaluate
from bertc.evaluation.ner import NamedEntities
from bertc.evaluation.sts import Similarity

LABELS = ("negative", "positive")
RIGHT = [index % 2 for index in range(200)]


class Recorded:
    """Says what it is told to."""

    def __init__(self, answers: list[int]) -> None:
        self.answers = answers

    def classify(self, inputs: Any) -> Any:
        return [{"label": LABELS[answer]} for answer, _ in zip(self.answers, inputs, strict=True)]


class Similarities:
    def __init__(self, values: Any) -> None:
        self.values = values

    def predict(self, inputs: Any) -> Any:
        return self.values[: len(inputs)]


def wrong_at(*places: int) -> Recorded:
    return Recorded([answer ^ (index in places) for index, answer in enumerate(RIGHT)])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "dev.tsv"
    rows = "".join(f"{label}\ttext {index}\n" for index, label in enumerate(RIGHT))
    path.write_text(f"label\tsentence\n{rows}")
    return path


def test_an_interval_holds_the_score_and_depends_on_the_seed(data: Path) -> None:
    evaluator = Classification(LABELS)
    first = evaluate(evaluator, wrong_at(*range(40)), data, seed=0)
    low, high = first.intervals["accuracy"]
    half = 100 * 1.96 * (0.8 * 0.2 / 200) ** 0.5
    assert first.metrics["accuracy"] == 80
    assert (low, high) == (pytest.approx(80 - half, abs=1), pytest.approx(80 + half, abs=1))
    assert first.intervals == evaluate(evaluator, wrong_at(*range(40)), data, seed=0).intervals
    assert first.intervals != evaluate(evaluator, wrong_at(*range(40)), data, seed=1).intervals
    alone = classification.evaluate(wrong_at(*range(40)), data, LABELS, seed=None)
    assert alone.metrics == first.metrics and not alone.intervals


def test_a_difference_within_noise(data: Path) -> None:
    result, comparison = compare(Classification(LABELS), wrong_at(3, 5, 7), wrong_at(5, 9), data)
    assert result.metrics["accuracy"] == 98.5 and comparison.reference.metrics["accuracy"] == 99
    assert comparison.test == "McNemar's exact test" and comparison.p == 1
    assert (comparison.disagreements, comparison.better, comparison.worse) == (3, 1, 2)
    assert comparison.verdict == (
        "the difference is within noise: it hangs on 3 answers, too few for any test to call it real"
    )
    assert [each.id for each in comparison.worst] == ["line 5", "line 9", "line 11"]
    assert comparison.worst[0] == ("line 5", "text 3", "positive", "negative", "positive")
    difference = comparison.differences["accuracy"]
    assert difference.value == pytest.approx(-0.5) and difference.low < -0.5 < difference.high
    assert "accuracy is 99.00 for the reference, the difference is -0.50" in comparison.summary


@pytest.mark.parametrize("is_better", [True, False])
def test_a_difference_that_is_real(data: Path, is_better: bool) -> None:
    engines = wrong_at(), wrong_at(*range(30))
    _, comparison = compare(Classification(LABELS), *engines[:: 1 if is_better else -1], data)
    assert comparison.p == pytest.approx(2 * 0.5**30)
    assert comparison.verdict == (
        f"the difference is real: {'better' if is_better else 'worse'} than the reference"
    )
    assert len(comparison.worst) == WORST
    assert json.loads(json.dumps(comparison.to_dict()))["disagreements"] == 30


def test_a_model_and_itself(data: Path) -> None:
    _, comparison = compare(Classification(LABELS), wrong_at(1), wrong_at(1), data)
    assert comparison.verdict == "every answer is that of the reference" and not comparison.worst
    assert set(comparison.differences["f1"]) == {0, 1}


def test_correlations_are_compared_in_the_same_resamples(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    scores = random.uniform(0, 5, 300)
    path = tmp_path / "sts.csv"
    path.write_text("score\tsentence1\tsentence2\n" + "".join(f"{each}\ta\tb\n" for each in scores))
    noise = random.normal(size=300)
    engines = [Similarities(scores + scale * noise) for scale in (1, 1.005, 3)]
    result, near = compare(Similarity(), engines[1], engines[0], path)
    low, high = result.intervals["pearson"]
    # Fisher's interval of a correlation: its arctanh has the standard error 1 / sqrt(n - 3).
    expected = 100 * np.tanh(
        np.arctanh(result.metrics["pearson"] / 100) + np.array([-1, 1]) * 1.96 / 297**0.5
    )
    assert [low, high] == pytest.approx(expected.tolist(), abs=1)
    difference = near.differences["pearson"]
    assert near.test == "paired bootstrap"
    assert difference.high - difference.low < (high - low) / 20
    far = compare(Similarity(), engines[2], engines[0], path)[1]
    assert far.p < 0.01 and far.verdict.startswith("the difference is real: worse")
    assert far.worst[0].text == "a | b"
    wanted = 100 * stats.spearmanr(engines[2].values, scores).statistic
    assert far.reference.metrics["spearman"] + far.differences["spearman"].value == pytest.approx(wanted)


class Tags:
    def __init__(self, *sentences: str) -> None:
        self.sentences = [sentence.split() for sentence in sentences]

    def predict_tags(self, words: Any) -> Any:
        return self.sentences[: len(words)]


def test_vectors_are_compared_text_by_text(tmp_path: Path) -> None:
    class Turned:
        """Vectors in a plane, each turned by an angle from those of the reference."""

        def __init__(self, *angles: float) -> None:
            self.angles = np.array(angles)

        def encode(self, inputs: list[str]) -> np.ndarray[Any, Any]:
            angles = np.arange(len(inputs)) ** 2 / 9 + np.resize(self.angles, len(inputs))
            return np.stack([np.cos(angles), np.sin(angles)], axis=1)

    path = tmp_path / "sts.csv"
    path.write_text("".join(f"g\tf\ty\t{i}\t{i}\ta {i}\tb {i}\n" for i in range(4)), "utf-8")
    _, comparison = compare(Similarity(), Turned(0.1, 0.3), Turned(0), path)
    assert comparison.cosines is not None and comparison.cosines.texts == 8
    assert comparison.cosines.mean == pytest.approx((np.cos(0.1) + np.cos(0.3)) / 2)
    assert comparison.cosines.worst == pytest.approx(np.cos(0.3))
    assert "cosine is 0.97517 on average, 0.9553 at worst, 8 texts" in comparison.summary
    assert comparison.to_dict()["cosines"]["texts"] == 8


def test_sentences_are_compared_by_their_entities(tmp_path: Path) -> None:
    path = tmp_path / "test.txt"
    path.write_text("John B-PER\nSmith I-PER\n\n北 B-LOC\n京 I-LOC\n\na O\n")
    labels = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
    found, reference = Tags("B-PER O", "B-LOC I-LOC", "O"), Tags("B-PER I-PER", "B-LOC I-LOC", "O")
    _, comparison = compare(NamedEntities(labels), found, reference, path)
    assert comparison.worst == [("line 1", "John Smith", "PER John Smith", "PER John", "PER John Smith")]
    assert (comparison.better, comparison.worse) == (0, 1)


def test_scores_need_no_optional_package(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*sys.modules, "scipy", "sklearn", "seqeval"]:
        if name.split(".")[0] in ("scipy", "sklearn", "seqeval"):
            monkeypatch.setitem(sys.modules, name, None)
    assert classification.evaluate(wrong_at(), data, LABELS).metrics["f1"] == 100
    tags = tmp_path / "tags.txt"
    tags.write_text("a B-PER\n")
    assert ner.evaluate(Tags("B-PER"), tags, ("O", "B-PER")).metrics["f1"] == 100
    pairs = tmp_path / "sts.csv"
    pairs.write_text("score\tsentence1\tsentence2\n1\ta\tb\n2\tc\td\n")
    assert sts.evaluate(Similarities(np.arange(2.0)), pairs).metrics["spearman"] == pytest.approx(100)
