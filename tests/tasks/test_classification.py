from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import bertc
from bertc.errors import InputError
from bertc.tasks.classification import Classification
from tests.conftest import MakeArtifact
from tests.support.answers import VOCABULARY, answers, make_info, tokenizer

LABELS = ("neg", "pos", "other")
LOGITS = {"good": [0, 2, 1], "bad": [3, 0, 0]}


def classify(
    items: list[Any],
    logits: dict[str, list[float]] | None = None,
    labels: tuple[str, ...] = LABELS,
    *,
    top_k: int | None = 1,
    function_to_apply: str | None = None,
    **info: Any,
) -> list[Any]:
    """Answers of a model that adds up the logits of the words it sees."""
    table = np.zeros((300, len(labels)))
    for word, row in (LOGITS if logits is None else logits).items():
        table[VOCABULARY[word]] = row
    facts = make_info("classification", labels=labels, **info)
    task = Classification(tokenizer(), facts, top_k, function_to_apply)
    found = answers(task, items, table)
    assert isinstance(found, list)
    return found


@pytest.fixture
def classifier(artifact: MakeArtifact) -> bertc.Classifier:
    loaded = bertc.load(artifact("classification"))
    assert isinstance(loaded, bertc.Classifier)
    return loaded


def test_an_item_is_a_text_or_a_pair() -> None:
    assert classify(["good"]) == [
        {"label": "pos", "score": pytest.approx(np.exp(2) / (1 + np.exp(2) + np.e))}
    ]
    assert type(classify(["good"])[0]["score"]) is float
    found = classify(["good", "bad", ("bad", "bad"), ("good", "bad")])
    assert [answer["label"] for answer in found] == ["pos", "neg", "neg", "neg"]


def test_one_text_or_pair_gives_one_answer_a_list_gives_a_list(classifier: bertc.Classifier) -> None:
    single, pair = classifier.classify("good"), classifier.classify(("good", "bad"))
    assert isinstance(single, dict) and isinstance(pair, dict)
    assert classifier.classify(["good", ("good", "bad")]) == [single, pair]
    assert classifier.classify([]) == []


def test_top_k_lists_the_best_labels() -> None:
    (every,) = classify(["good"], top_k=None)
    assert [each["label"] for each in every] == ["pos", "other", "neg"]
    assert classify(["good"], top_k=2) == [every[:2]]
    assert classify(["good"], top_k=9) == [every]


@pytest.mark.parametrize("top_k", [0, -1, True, 1.5])
def test_wrong_top_k_is_refused(classifier: bertc.Classifier, top_k: Any) -> None:
    with pytest.raises(InputError, match="top_k"):
        classifier.classify("good", top_k=top_k)


def test_independent_labels_get_a_sigmoid() -> None:
    good, bad = classify(
        ["good", "bad"],
        {"good": [0, 2], "bad": [-200, 0]},
        ("a", "b"),
        top_k=None,
        problem_type="multi_label_classification",
    )
    assert good == [
        {"label": "b", "score": pytest.approx(1 / (1 + np.exp(-2)))},
        {"label": "a", "score": 0.5},
    ]
    assert bad[1]["score"] == 0


def test_a_single_label_gets_a_sigmoid() -> None:
    found = classify(["good"], {"good": [1]}, ("score",))
    assert found == [{"label": "score", "score": pytest.approx(1 / (1 + np.exp(-1)))}]


def test_a_regression_is_left_alone() -> None:
    found = classify(["good"], {"good": [3.5]}, ("score",), problem_type="regression")
    assert found == [{"label": "score", "score": 3.5}]


def test_the_function_can_be_chosen() -> None:
    for function, score in (("none", 2), ("sigmoid", 1 / (1 + np.exp(-2)))):
        (answer,) = classify(["good"], function_to_apply=function)
        assert answer == {"label": "pos", "score": pytest.approx(score)}
    (answer,) = classify(["good"], {"good": [1]}, ("score",), function_to_apply="softmax")
    assert answer["score"] == 1


def test_an_unknown_function_is_refused(classifier: bertc.Classifier) -> None:
    with pytest.raises(InputError, match="function_to_apply is 'relu'"):
        classifier.classify("good", function_to_apply="relu")


def test_lists_of_two_are_pairs(classifier: bertc.Classifier) -> None:
    pair = classifier.classify(("good", "bad"))
    assert classifier.classify([["good", "bad"]]) == [pair]
    assert classifier.classify({"text": "good", "text_pair": "bad"}) == pair
    assert classifier.count_tokens([["good", "bad"]]) == classifier.count_tokens([("good", "bad")])


def test_an_answer_does_not_depend_on_the_batch(classifier: bertc.Classifier) -> None:
    pairs = [("the " * n, "cat " * (40 - n)) for n in range(1, 40)]
    together = classifier.predict(pairs)
    assert all(
        np.array_equal(classifier.predict(pair), row) for pair, row in zip(pairs, together, strict=True)
    )
