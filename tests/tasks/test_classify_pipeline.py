"""Answers of tiny classifiers of both families, equal to those of the ``transformers`` 5 pipelines."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from tests.support.artifacts import Artifacts
from tests.support.multilingual import TEXTS
from tests.support.pipelines import FAMILIES, assert_close, pipeline_and_model, quiet_on_one_thread

KINDS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "three labels": (("neg", "pos", "other"), {}),
    "independent": (("a", "b", "c"), {"problem_type": "multi_label_classification"}),
    "one label": (("score",), {}),
    "regression": (("score",), {"problem_type": "regression"}),
}
PAIRS = list(pairwise(TEXTS[:12]))


@pytest.fixture(autouse=True)
def _quiet_on_one_thread() -> Iterator[None]:
    with quiet_on_one_thread():
        yield


@pytest.mark.filterwarnings("ignore::bertc.TruncationWarning")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_classify_equals_the_pipeline(artifacts: Artifacts, family: str, kind: str) -> None:
    labels, config = KINDS[kind]
    class_name = f"{family}ForSequenceClassification"
    expected, model = pipeline_and_model(artifacts, "text-classification", class_name, labels, **config)
    with pytest.warns(UserWarning, match="more than 6[46]? tokens"):
        assert_same_labels(model.classify(list(TEXTS)), expected(list(TEXTS), truncation=True))
    dicts = [{"text": a, "text_pair": b} for a, b in PAIRS]
    for function in (None, "none", "sigmoid", "softmax"):
        options = {"function_to_apply": function, "top_k": None}
        wanted = expected(dicts, truncation=True, **options)
        for inputs in (PAIRS, [list(pair) for pair in PAIRS], dicts):
            for found, each in zip(model.classify(inputs, **options), wanted, strict=True):
                assert_same_labels(found, each)


def assert_same_labels(found: Any, expected: Any) -> None:
    assert [each["label"] for each in found] == [each["label"] for each in expected]
    assert_close([each["score"] for each in found], [each["score"] for each in expected])


@pytest.mark.filterwarnings("ignore::bertc.TruncationWarning", "ignore:no label of this model begins")
@pytest.mark.parametrize(
    "names", [("contradiction", "neutral", "entailment"), ("ENTAILMENT", "not_entailment"), ("a", "b", "c")]
)
@pytest.mark.parametrize("family", FAMILIES)
def test_candidate_labels_equal_the_pipeline(
    artifacts: Artifacts, family: str, names: tuple[str, ...]
) -> None:
    class_name = f"{family}ForSequenceClassification"
    expected, model = pipeline_and_model(artifacts, "zero-shot-classification", class_name, names)
    texts = list(TEXTS[::3])
    for labels, options in (
        (["sport", "food", "money and work"], {}),
        ("sport, food", {"multi_label": True, "hypothesis_template": "{}: it is."}),
        ("sport", {}),
    ):
        found = model.classify(texts, labels, **options)
        for ours, theirs in zip(found, expected(texts, labels, **options), strict=True):
            assert (ours["sequence"], ours["labels"]) == (theirs["sequence"], theirs["labels"])
            assert_close(ours["scores"], theirs["scores"])
