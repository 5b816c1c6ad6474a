from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bertc.errors import InputError
from bertc.tasks.classification import Classification
from tests.support.fake_session import VOCABULARY, TableSession, make_info, make_model


def make_task(logits: dict[str, list[float]], labels: tuple[str, ...], **info: Any) -> Classification:
    """A model that adds up the logits of the words it sees."""
    table = np.zeros((300, len(labels)))
    for word, row in logits.items():
        table[VOCABULARY[word]] = row
    facts = make_info("classification", id2label=labels, **info)
    return Classification(make_model(TableSession(table, "logits"), facts))


@pytest.fixture
def task() -> Classification:
    return make_task({"good": [0, 2, 1], "bad": [3, 0, 0]}, ("neg", "pos", "other"))


def test_one_text_or_pair_gives_one_answer(task: Classification) -> None:
    answer = task.classify("good")
    assert answer == {"label": "pos", "score": pytest.approx(np.exp(2) / (1 + np.exp(2) + np.e))}
    assert isinstance(answer, dict) and type(answer["score"]) is float
    assert task.classify(("good", "bad"))["label"] == "neg"


def test_a_list_gives_a_list(task: Classification) -> None:
    answers = task.classify(["good", "bad", ("bad", "bad")])
    assert [answer["label"] for answer in answers] == ["pos", "neg", "neg"]
    assert task.classify([]) == []
    assert isinstance(task.classify(["good"]), list)


def test_top_k_lists_the_best_labels(task: Classification) -> None:
    every = task.classify("good", top_k=None)
    assert [each["label"] for each in every] == ["pos", "other", "neg"]
    assert task.classify("good", top_k=2) == every[:2]
    assert task.classify(["good"], top_k=9) == [every]


@pytest.mark.parametrize("top_k", [0, -1, True, 1.5])
def test_wrong_top_k_is_refused(task: Classification, top_k: Any) -> None:
    with pytest.raises(InputError, match="top_k"):
        task.classify("good", top_k=top_k)


def test_independent_labels_get_a_sigmoid() -> None:
    task = make_task(
        {"good": [0, 2], "bad": [-200, 0]}, ("a", "b"), problem_type="multi_label_classification"
    )
    assert task.classify("good", top_k=None) == [
        {"label": "b", "score": pytest.approx(1 / (1 + np.exp(-2)))},
        {"label": "a", "score": 0.5},
    ]
    assert task.classify("bad", top_k=None)[1]["score"] == 0


def test_a_single_label_gets_a_sigmoid() -> None:
    task = make_task({"good": [1]}, ("score",))
    assert task.classify("good") == {"label": "score", "score": pytest.approx(1 / (1 + np.exp(-1)))}


def test_a_regression_is_left_alone() -> None:
    task = make_task({"good": [3.5]}, ("score",), problem_type="regression")
    assert task.classify("good") == {"label": "score", "score": 3.5}
