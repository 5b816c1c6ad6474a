"""What callers pass by mistake to the tasks' methods: an ``InputError`` that names it, whatever its type."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bertc
from bertc.encoder import Encoder
from tests.conftest import MakeArtifact
from tests.support.hf_checkpoints import load_fp32, save_checkpoint

ODD = [None, 0, 1.5, b"a", memoryview(b"a"), np.array("a"), float, object()]
"""Things that cannot be iterated, or hold no text if they can."""


@pytest.fixture(scope="module")
def filler(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return load_fp32(save_checkpoint(tmp_path_factory.mktemp("filler"), "BertForMaskedLM"))


@pytest.fixture(scope="module")
def answerer(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return load_fp32(save_checkpoint(tmp_path_factory.mktemp("answerer"), "BertForQuestionAnswering"))


@pytest.fixture(scope="module")
def ranker(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    path: Path = tmp_path_factory.mktemp("ranker")
    return load_fp32(save_checkpoint(path, "BertForSequenceClassification", num_labels=1))


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: type(odd).__name__)
def test_what_cannot_be_a_list_of_texts_is_named(
    artifact: MakeArtifact, filler: Encoder, answerer: Encoder, ranker: Encoder, odd: Any
) -> None:
    classifier, tagger = (bertc.load(artifact(head)) for head in ("classification", "token_classification"))
    with pytest.raises(bertc.InputError, match="inputs are"):
        tagger.tag(odd)
    with pytest.raises(bertc.InputError, match="inputs are"):
        filler.fill_mask(odd)
    with pytest.raises(bertc.InputError, match="ignore_labels are"):
        tagger.tag("a text", ignore_labels=odd)
    with pytest.raises(bertc.InputError, match="does not take a label"):
        classifier.classify("a text", ["a"], hypothesis_template=odd)
    with pytest.raises(bertc.InputError, match="documents are"):
        ranker.rank("a query", odd)
    with pytest.raises(bertc.InputError, match="inputs are"):
        answerer.count_tokens(odd, truncate=False)
    if odd is not None:
        with pytest.raises(bertc.InputError, match="candidate_labels are"):
            classifier.classify("a text", odd)
        with pytest.raises(bertc.InputError, match="targets are"):
            filler.fill_mask("the [MASK]", targets=odd)


@pytest.mark.parametrize("odd", [[1], np.array(["a", "b"]), {}, 0])
def test_what_is_no_name_is_told(artifact: MakeArtifact, odd: Any) -> None:
    with pytest.raises(bertc.InputError, match=r"aggregation_strategy is .*: expected one of none, simple"):
        bertc.load(artifact("token_classification")).tag("a text", aggregation_strategy=odd)
    with pytest.raises(bertc.InputError, match=r"function_to_apply is .*: expected one of none, sigmoid"):
        bertc.load(artifact("classification")).classify("a text", function_to_apply=odd)


def test_a_string_of_labels_is_no_list_of_them(artifact: MakeArtifact) -> None:
    with pytest.raises(bertc.InputError, match="ignore_labels are str: expected a list of strings"):
        bertc.load(artifact("token_classification")).tag("a text", ignore_labels="O")


def test_an_array_without_dimensions_is_the_text_that_it_holds(artifact: MakeArtifact) -> None:
    classifier = bertc.load(artifact("classification"))
    assert classifier.classify(np.array("a man")) == classifier.classify("a man")
    assert classifier.predict(np.array("a man")).tolist() == classifier.predict("a man").tolist()


def test_an_activation_that_makes_no_numbers_is_told(artifact: MakeArtifact) -> None:
    classifier = bertc.load(artifact("classification"))
    for made in (None, "a", [object()], {}):
        with pytest.raises(bertc.InputError, match="the activation makes"):
            classifier.predict([("a", "b")], activation_fn=lambda _, made=made: made)


def test_a_target_that_is_no_unicode_is_left_out(filler: Encoder) -> None:
    with pytest.warns(UserWarning, match="is no token of this model's vocabulary: it is left out"):
        answers = filler.fill_mask("the [MASK]", targets=["man", "\ud800"])
    assert {answer["token_str"] for answer in answers} == {"man"}


@pytest.mark.parametrize(
    "odd", [["a"], [("a", 3)], [["a", "b"]], np.array([["a", "b"]]), [("a", "b", "c")], "a"]
)
def test_questions_to_count_are_pairs(answerer: Encoder, odd: Any) -> None:
    with pytest.raises(bertc.InputError, match=r"inputs\[0\] is .*: expected a question with its context"):
        answerer.count_tokens(odd, truncate=False)


def test_keys_of_several_types_are_named(answerer: Encoder) -> None:
    with pytest.raises(bertc.InputError, match=r"inputs\[0\] has the keys \['1', 'a'\]"):
        answerer.answer([{1: 2, "a": 3}])


def test_a_ragged_mask_is_told(answerer: Encoder) -> None:
    with pytest.raises(bertc.InputError, match="attention_mask is ragged"):
        answerer([[1, 2]], [[1, 2], [3]])
