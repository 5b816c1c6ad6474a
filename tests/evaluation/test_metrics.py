"""Every formula against the library that people know it from."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from scipy import stats
from seqeval.metrics.sequence_labeling import get_entities
from sklearn import metrics

from bertc.evaluation.metrics import classes, correlation, ranking
from bertc.evaluation.metrics.entities import entities

Array = np.ndarray[Any, Any]

RNG = np.random.default_rng(7)
WEIGHTS = np.concatenate([np.ones((1, 60)), RNG.integers(0, 4, (3, 60))]).astype(np.float64)
"""Every sample once, and three random choices."""


def chosen(values: Array, weights: Array) -> Array:
    """The values, each as often as its weight says."""
    return np.repeat(values, weights.astype(int))


def test_correlations_with_ties() -> None:
    x, y = RNG.normal(size=60).round(1), RNG.integers(0, 6, 60).astype(np.float64)
    found = correlation.pearson(x, y, WEIGHTS), correlation.spearman(x, y, WEIGHTS)
    for row, weights in enumerate(WEIGHTS):
        a, b = chosen(x, weights), chosen(y, weights)
        assert found[0][row] == pytest.approx(stats.pearsonr(a, b).statistic, abs=1e-12)
        assert found[1][row] == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-12)


def test_a_constant_has_no_correlation() -> None:
    assert np.isnan(correlation.pearson(np.ones(60), np.arange(60.0), WEIGHTS)).all()


def test_scores_of_classes() -> None:
    expected, predicted = RNG.integers(0, 4, 60), RNG.integers(0, 3, 60)
    totals = (WEIGHTS @ classes.one_hot(expected, predicted, 5)).reshape(len(WEIGHTS), 3, -1)
    scores = classes.precision_recall_f1(*totals.swapaxes(0, 1))
    matthews = classes.matthews(*totals.swapaxes(0, 1))
    for row, weights in enumerate(WEIGHTS):
        a, b = chosen(expected, weights), chosen(predicted, weights)
        wanted = metrics.precision_recall_fscore_support(a, b, labels=range(5), zero_division=0)
        for score, want in zip(scores, wanted, strict=False):
            assert score[row] == pytest.approx(want)
        assert totals[row, 2].tolist() == wanted[3].tolist()
        assert matthews[row] == pytest.approx(metrics.matthews_corrcoef(a, b))


def test_one_class_has_no_matthews_correlation() -> None:
    totals = classes.one_hot(np.ones(3, int), np.ones(3, int), 2).sum(axis=0).reshape(3, 2)
    assert classes.matthews(*totals) == 0


def test_average_precision_with_ties() -> None:
    scores, positive = RNG.normal(size=60).round(1), RNG.integers(0, 2, 60).astype(np.float64)
    found = classes.average_precision(scores, positive, WEIGHTS)
    for row, weights in enumerate(WEIGHTS):
        a, b = chosen(positive, weights), chosen(scores, weights)
        assert found[row] == pytest.approx(metrics.average_precision_score(a, b))
    assert np.isnan(classes.average_precision(scores, np.zeros(60), WEIGHTS)).all()


def test_gains_of_a_ranking() -> None:
    gains = RNG.integers(0, 4, 30).astype(np.float64)
    scores = -np.arange(30.0)
    for depth in (1, 5, 10, 30, 40):
        wanted = metrics.ndcg_score(gains[None], scores[None], k=depth)
        assert ranking.ndcg(gains, gains, depth) == pytest.approx(wanted)
    assert ranking.average_precision(gains, int((gains > 0).sum())) == pytest.approx(
        metrics.average_precision_score(gains > 0, scores)
    )


def test_rankings_by_hand() -> None:
    # trec_eval on a run with relevant documents at places 2 and 4, and a third that was not retrieved.
    gains = [0.0, 1.0, 0.0, 2.0]
    assert ranking.average_precision(gains, 3) == pytest.approx((1 / 2 + 2 / 4) / 3)
    assert ranking.reciprocal_rank(gains, 10) == 0.5
    assert ranking.reciprocal_rank(gains, 1) == 0
    ideal = 3 + 2 / np.log2(3) + 1 / np.log2(4)
    assert ranking.ndcg(gains, [1.0, 2.0, 3.0], 10) == pytest.approx(
        (1 / np.log2(3) + 2 / np.log2(5)) / ideal
    )
    assert (
        ranking.average_precision([], 1) == ranking.reciprocal_rank([], 1) == ranking.ndcg([], [1.0], 1) == 0
    )


@pytest.mark.parametrize("letters", ["BI", "BIES"])
def test_entities_of_any_labels_are_those_of_seqeval(letters: str) -> None:
    labels = ["O", *(f"{letter}-{kind}" for letter in letters for kind in ("PER", "LOC"))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(300):
            sentence = RNG.choice(labels, 12).tolist()
            assert entities(sentence) == get_entities(sentence)
