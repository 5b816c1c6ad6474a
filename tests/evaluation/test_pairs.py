from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from bertc.errors import InputError
from bertc.evaluation import pairs
from bertc.evaluation.evaluator import compare, evaluate
from bertc.evaluation.pairs import PairDecisions, best_threshold

SCORES = np.array([0.1, 0.4, 0.35, 0.8, 0.4, 0.9])
LABELS = [0, 0, 1, 1, 1, 0]


class Scores:
    def __init__(self, values: Any) -> None:
        self.values = np.asarray(values, np.float64)

    def predict(self, inputs: Any) -> Any:
        return self.values[: len(inputs)]


class Angles:
    """An embedder: the cosine of the n-th pair is the n-th of ``SCORES``."""

    def encode(self, inputs: Any) -> Any:
        angles = [np.arccos(SCORES[index // 2]) * (index % 2) for index in range(len(inputs))]
        return 2 * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def write(tmp_path: Path, labels: list[Any]) -> Path:
    path = tmp_path / "pairs.tsv"
    rows = "".join(f"{label}\ta {index}\tb\n" for index, label in enumerate(labels))
    path.write_text(f"label\tsentence1\tsentence2\n{rows}")
    return path


@pytest.mark.parametrize(
    "engine", [Scores(SCORES), Angles(), Scores(np.stack([0.35 - SCORES, SCORES * 0], 1))]
)
def test_scores_of_matches_are_those_of_scikit_learn(tmp_path: Path, engine: Any) -> None:
    result = pairs.evaluate(engine, write(tmp_path, LABELS))
    decided = SCORES > 0.34  # the best threshold, and where the third engine finds both labels alike
    assert result.metrics == {
        "accuracy": pytest.approx(100 * metrics.accuracy_score(LABELS, decided)),
        "f1": pytest.approx(100 * metrics.f1_score(LABELS, decided)),
        "precision": pytest.approx(100 * metrics.precision_score(LABELS, decided)),
        "recall": pytest.approx(100 * metrics.recall_score(LABELS, decided)),
        "average_precision": pytest.approx(100 * metrics.average_precision_score(LABELS, SCORES)),
    }
    assert result.counts == {"samples": 6, "positive": 3}
    assert result.confusion is not None and result.confusion.counts.tolist() == [[1, 2], [0, 3]]


def test_a_threshold_may_be_given(tmp_path: Path) -> None:
    path = write(tmp_path, LABELS)
    result = evaluate(PairDecisions(threshold=0.5), Scores(SCORES), path)
    assert result.metrics["accuracy"] == 50 and result.facts == {"threshold": "0.5000, given"}
    assert pairs.evaluate(Scores(SCORES), path).facts == {"threshold": "0.3500, best on this data"}


@pytest.mark.parametrize("seed", range(5))
def test_the_best_threshold_is_that_of_an_exhaustive_search(seed: int) -> None:
    random = np.random.default_rng(seed)
    scores, labels = random.normal(size=40).round(1), random.integers(0, 2, 40)
    found = np.mean((scores >= best_threshold(scores, labels)) == labels)
    assert found == max(np.mean((scores >= each) == labels) for each in [*scores, 99])


def test_where_no_pair_matches_the_threshold_lies_above_all() -> None:
    assert best_threshold(np.array([1.0, 0.0]), np.array([0, 0])) > 1


def test_labels_that_are_scores_need_a_limit(tmp_path: Path) -> None:
    path = write(tmp_path, [0.2, 3, 4.5])
    samples = PairDecisions(positive_from=3).read(path)
    assert [sample.label for sample in samples] == [0, 1, 1]
    with pytest.raises(
        InputError, match=r"line 2, column label: the label is '0.2', expected 1 or 0.*eval sts"
    ):
        PairDecisions().read(path)
    with pytest.raises(InputError, match="line 2, column label: the label is 'x', expected a number"):
        PairDecisions(positive_from=3).read(write(tmp_path, ["x", 1]))


def test_engines_disagree_where_decisions_differ(tmp_path: Path) -> None:
    path = write(tmp_path, LABELS)
    other = Scores(SCORES + 0.01 * np.eye(6)[0])
    assert compare(PairDecisions(0.5), Scores(SCORES), other, path)[1].disagreements == 0
    _, comparison = compare(PairDecisions(0.37), Scores(SCORES), Scores(SCORES + 0.03), path)
    assert comparison.worst == [("line 4", "a 2 | b", "1", "0 (0.3500)", "1 (0.3800)")]


def test_class_number_1_is_that_of_the_task(tmp_path: Path) -> None:
    class Paraphrases(Scores):
        info = SimpleNamespace(labels=("equivalent", "not_equivalent"))

    logits = np.where(np.array(LABELS)[:, None] == 1, [1, 0], [0, 1])
    assert pairs.evaluate(Paraphrases(logits), write(tmp_path, LABELS)).metrics["accuracy"] == 100


@pytest.mark.parametrize(("labels", "message"), [([1, 1], "every label is 1"), ([], "no samples")])
def test_data_without_both_labels_is_refused(tmp_path: Path, labels: list[int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        PairDecisions().read(write(tmp_path, labels))


def test_what_is_no_pair_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "texts.tsv"
    path.write_text("label\tsentence\n1\ta\n")
    with pytest.raises(InputError, match=r"texts\.tsv, line 2: one text, expected two"):
        PairDecisions().read(path)
    with pytest.raises(InputError, match="the model has 3 labels"):
        pairs.evaluate(Scores(np.zeros((6, 3))), write(tmp_path, LABELS))
