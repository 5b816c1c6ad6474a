"""Choices come best first, with the probabilities that transformers' logits have."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import bertc
from bertc.errors import InputError
from bertc.tasks.multiple_choice import MultipleChoice
from tests.support.answers import VOCABULARY, answers, tokenizer
from tests.support.hf_checkpoints import byte_level_tokenizer, load_fp32, load_transformers, save_checkpoint
from tests.support.multilingual import SENTENCES

PROMPTS = list(SENTENCES[::5])
CHOICES = [list(SENTENCES[index + 1 : index + 2 + index % 4]) for index in range(0, len(SENTENCES), 5)]


@pytest.fixture(scope="module", params=["Bert", "Roberta"])
def models(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A tiny model, and that of transformers with its tokenizer."""
    name = f"{request.param}ForMultipleChoice"
    special: dict[str, Any] = {}
    if request.param == "Roberta":
        special = {"tokenizer": byte_level_tokenizer(SENTENCES), "vocab_size": 320, "type_vocab_size": 1}
    path = tmp_path_factory.mktemp(request.param) / "model"
    save_checkpoint(path, name, max_position_embeddings=300, **special)
    ours = load_fp32(path)
    assert isinstance(ours, bertc.Chooser)
    return ours, *load_transformers(path, name)


def test_choices_are_those_of_transformers(models: Any) -> None:
    torch = pytest.importorskip("torch")
    ours, model, theirs = models
    found = ours.choose(PROMPTS, CHOICES)
    assert {len(each) for each in found} == {1, 2, 3, 4}
    for prompt, choices, answer in zip(PROMPTS, CHOICES, found, strict=True):
        encoded = theirs([prompt] * len(choices), choices, padding=True, return_tensors="pt")
        with torch.no_grad():
            logits = model(**{name: array[None] for name, array in encoded.items()}).logits[0]
        order = logits.argsort(descending=True).tolist()
        assert [each["index"] for each in answer] == order
        assert [each["choice"] for each in answer] == [choices[index] for index in order]
        assert [each["score"] for each in answer] == pytest.approx(logits.softmax(0)[order], abs=1e-4)
        assert ours.choose(prompt, choices) == answer


def test_equal_choices_keep_their_order() -> None:
    table = np.zeros((len(VOCABULARY), 1))
    table[VOCABULARY["dog"]] = 2
    items = [("the", ["a", "dog", "a"]), ("the", ["a"])]
    first, second = answers(MultipleChoice(tokenizer()), items, table)
    assert [each["index"] for each in first] == [1, 0, 2]
    assert first[0] == {"choice": "dog", "index": 1, "score": pytest.approx(np.e**2 / (np.e**2 + 2))}
    assert second == [{"choice": "a", "index": 0, "score": 1}]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("the", []), "choices are empty"),
        ((["the", "a"], [["a"], []]), r"choices\[1\] are empty"),
        (("the", "dog"), "choices are str"),
        (("the", ["dog", 3]), "choices are a list .* int"),
        ((["the"], ["dog"]), r"choices\[0\] are str"),
        ((["the", "a"], [["dog"]]), "2 prompts and 1 lists of choices"),
        ((3, ["dog"]), "prompt is int"),
        (([3], [["dog"]]), r"prompt\[0\] is int"),
    ],
)
def test_what_is_no_choice_is_named(models: Any, arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        models[0].choose(*arguments)


def test_no_prompts_give_no_answers(models: Any) -> None:
    assert models[0].choose([], []) == []
