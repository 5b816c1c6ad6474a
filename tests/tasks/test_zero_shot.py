from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import bertc
from bertc.errors import InputError
from bertc.tasks.zero_shot import DEFAULT_TEMPLATE, Candidates
from tests.conftest import MakeArtifact

NLI = ("contradiction", "neutral", "entailment")
LOGITS = np.array([[0, 0, 1], [5, 0, 2]], np.float32)


def ask(logits: Any = LOGITS, names: tuple[str, ...] = NLI, **options: Any) -> list[dict[str, Any]]:
    """The answers for one text and two labels."""
    candidates = Candidates.of(["x", "y"], DEFAULT_TEMPLATE)
    return candidates.answers(["text"], logits, names, multi_label=options.get("multi_label", False))


def test_labels_are_lists_or_separated_by_commas() -> None:
    for labels in (["x", "y z"], ("x", "y z"), " x ,, y z,"):
        candidates = Candidates.of(labels, "It is {}!")
        assert candidates.pairs(["a", "b"]) == [
            ("a", "It is x!"),
            ("a", "It is y z!"),
            ("b", "It is x!"),
            ("b", "It is y z!"),
        ]


def test_entailment_is_compared_between_labels() -> None:
    share = 1 / (1 + np.exp(-1))
    assert ask() == [{"sequence": "text", "labels": ["y", "x"], "scores": pytest.approx([share, 1 - share])}]


def test_with_several_labels_entailment_is_compared_with_contradiction() -> None:
    (answer,) = ask(multi_label=True)
    assert answer["labels"] == ["x", "y"]
    assert answer["scores"] == pytest.approx([1 / (1 + np.exp(-1)), 1 / (1 + np.exp(3))])
    # The last one is contradiction where entailment comes first.
    assert ask(LOGITS[:, ::-1], ("Entails", "neutral", "other"), multi_label=True) == [answer]


def test_without_a_label_called_entailment_the_last_one_is_taken_with_a_warning() -> None:
    with pytest.warns(UserWarning, match=r"begins with 'entail' \(a, b, c\)"):
        assert ask(names=("a", "b", "c")) == ask()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"candidate_labels": []}, "candidate_labels are"),
        ({"candidate_labels": " , "}, "candidate_labels are"),
        ({"candidate_labels": ["a", 3]}, "candidate_labels are"),
        ({"candidate_labels": "a", "hypothesis_template": "no place"}, "has no {}"),
        ({"candidate_labels": "a", "hypothesis_template": "{label}"}, "does not take a label"),
        ({"candidate_labels": "a", "hypothesis_template": "{"}, "does not take a label"),
        ({"candidate_labels": "a", "hypothesis_template": None}, "does not take a label"),
        ({"candidate_labels": "a", "top_k": 2}, "top_k and function_to_apply"),
        ({"candidate_labels": "a", "inputs": ("a", "b")}, r"inputs\[0\] is a pair"),
        ({"candidate_labels": "a " * 70}, "leaves no room for the first one"),
        ({"multi_label": True}, "multi_label is for candidate_labels"),
    ],
)
def test_wrong_options_are_refused(artifact: MakeArtifact, options: dict[str, Any], message: str) -> None:
    classifier = bertc.load(artifact("classification"))
    with pytest.raises(InputError, match=message):
        classifier.classify(**{"inputs": "a text", **options})


@pytest.mark.filterwarnings("ignore:no label of this model")
def test_one_text_gives_one_answer_a_list_gives_a_list(artifact: MakeArtifact) -> None:
    classifier = bertc.load(artifact("classification"))
    single = classifier.classify("a cat", "x, y")
    assert isinstance(single, dict) and single["sequence"] == "a cat"
    assert classifier.classify(["a cat", "", "a dog"], ["x", "y"])[0] == single
    assert classifier.classify([], ["x", "y"]) == []
