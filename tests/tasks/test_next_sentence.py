"""Whether a text follows another, by the model for that alone and by the one with both heads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import bertc
from bertc.encoder import WrongTaskError
from bertc.errors import InputError
from bertc.tasks.next_sentence import NextSentencePrediction
from tests.support.answers import VOCABULARY, answers, tokenizer
from tests.support.artifacts import Artifacts
from tests.support.hf_checkpoints import load_fp32, load_transformers, save_checkpoint
from tests.support.multilingual import SENTENCES

PAIRS = list(zip(SENTENCES, (*SENTENCES[1:], SENTENCES[0]), strict=True))
OUTPUTS = {"BertForNextSentencePrediction": "logits", "BertForPreTraining": "seq_relationship_logits"}


@pytest.mark.parametrize("class_name", OUTPUTS)
def test_relationships_are_those_of_transformers(class_name: str, tmp_path: Any) -> None:
    torch = pytest.importorskip("torch")
    path = save_checkpoint(tmp_path / "model", class_name, max_position_embeddings=300)
    ours = load_fp32(path)
    model, theirs = load_transformers(path, class_name)
    with torch.no_grad():
        encoded = theirs(*map(list, zip(*PAIRS, strict=True)), padding=True, return_tensors="pt")
        expected = model(**encoded)[OUTPUTS[class_name]].softmax(-1).numpy()
    found = ours.next_sentence(*map(list, zip(*PAIRS, strict=True)))
    assert [each["label"] for each in found] == [
        ("IsNext", "NotNext")[best] for best in expected.argmax(axis=1)
    ]
    assert [each["score"] for each in found] == pytest.approx(expected.max(axis=1), abs=1e-4)
    assert [ours.next_sentence(*pair) for pair in PAIRS[::5]] == found[::5]


def test_a_pretrained_model_answers_both(artifacts: Artifacts) -> None:
    path = artifacts.derived("pretraining", lambda path: save_checkpoint(path, "BertForPreTraining"))
    for dtype in ("fp32", "int8"):
        model = bertc.load(artifacts.compile(path, dtype))
        assert isinstance(model, bertc.PretrainedModel)
        assert [len(each) for each in model.fill_mask(["a [MASK]", "[MASK] [MASK]"])] == [5, 2]
        answer = model.next_sentence("a dog", "plays")
        assert set(answer) == {"label", "score"} and answer["score"] >= 0.5
        with pytest.raises(WrongTaskError, match="fill_mask, next_sentence and score_masked, not answer"):
            model.answer("who", "a dog")


def test_the_first_column_says_that_it_follows() -> None:
    table = np.zeros((len(VOCABULARY), 2))
    table[VOCABULARY["dog"]], table[VOCABULARY["cat"]] = (2, 0), (0, 3)
    task = NextSentencePrediction(tokenizer())
    found = answers(task, [("a", "dog"), ("a", "cat"), ("", "")], table)
    assert found == [
        {"label": "IsNext", "score": pytest.approx(1 / (1 + np.exp(-2)))},
        {"label": "NotNext", "score": pytest.approx(1 / (1 + np.exp(-3)))},
        {"label": "IsNext", "score": 0.5},
    ]


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("next") / "model"
    return load_fp32(save_checkpoint(path, "BertForNextSentencePrediction"))


def test_texts_give_one_answer_and_lists_a_list(predictor: Any) -> None:
    one, other = predictor.next_sentence("a dog", "plays"), predictor.next_sentence("a dog", "a cat")
    assert predictor.next_sentence(["a dog"] * 2, ["plays", "a cat"]) == [one, other]
    assert predictor.next_sentence("a dog", ["plays", "a cat"]) == [one, other]
    assert predictor.next_sentence(["a dog"], "plays") == [one]
    assert predictor.next_sentence([], []) == predictor.next_sentence("a dog", []) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["a"], ["b", "c"]), "1 of first and 2 of second"),
        (("a", 3), "second is int"),
        ((["a", 3], "b"), r"first\[1\] is int"),
        ((None, "b"), "first is NoneType"),
    ],
)
def test_what_is_no_pair_is_named(predictor: Any, arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        predictor.next_sentence(*arguments)
