"""Masked tokens have the probabilities that transformers gives them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import bertc
from bertc.errors import InputError
from tests.support.hf_checkpoints import load_fp32, load_transformers, save_checkpoint

TEXTS = ["the dog plays the piano", "a cat", "", "a man is playing a guitar and the cat is in london"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("bert") / "model"
    save_checkpoint(path, "BertForMaskedLM")
    ours = load_fp32(path)
    assert isinstance(ours, bertc.MaskFiller)
    return (ours, *load_transformers(path, "BertForMaskedLM"))


def test_every_token_alone_is_as_probable_as_in_transformers(models: Any) -> None:
    torch = pytest.importorskip("torch")
    ours, model, tokenizer = models
    for text, found in zip(TEXTS, ours.score_masked(TEXTS, share=None), strict=True):
        ids = tokenizer(text)["input_ids"]
        assert found["tokens"].tolist() == ids[1:-1]
        for place, (token, value) in enumerate(
            zip(found["tokens"], found["log_probabilities"], strict=True), 1
        ):
            known = [*ids[:place], tokenizer.mask_token_id, *ids[place + 1 :]]
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([known])).logits[0, place].double()
            assert value == pytest.approx(float(logits.log_softmax(0)[token]), abs=1e-4)
            assert found["predicted"][place - 1] == int(logits.argmax())


def test_a_share_is_chosen_by_seed_and_text_alone(models: Any) -> None:
    ours = models[0]
    alone = [ours.score_masked(text, share=0.3) for text in TEXTS]
    together = ours.score_masked(TEXTS[::-1], share=0.3)[::-1]
    for text, first, second in zip(TEXTS, alone, together, strict=True):
        count = len(ours.tokenizer.ids(text))
        assert len(first["tokens"]) == (max(1, round(0.3 * count)) if count else 0)
        for name in first:
            assert np.array_equal(first[name], second[name])
    seeds = [ours.score_masked(TEXTS[3], share=0.3, seed=seed)["tokens"].tolist() for seed in range(5)]
    assert any(tokens != seeds[0] for tokens in seeds)


def test_masks_at_once_see_none_of_each_other(models: Any) -> None:
    ours = models[0]
    found = ours.score_masked("a cat", share=1)
    other = ours.score_masked("the dog", share=1)
    assert found["predicted"].tolist() == other["predicted"].tolist()


def test_a_mask_in_the_text_is_no_token_to_find(models: Any) -> None:
    ours = models[0]
    mask = ours.info.facts["mask_token"]
    assert len(ours.score_masked(f"a {mask}", share=None)["tokens"]) == 1
    assert len(ours.score_masked(mask)["tokens"]) == 0


@pytest.mark.parametrize("share", [0, -1, 1.5])
def test_a_share_that_makes_no_sense_is_refused(models: Any, share: float) -> None:
    with pytest.raises(InputError, match=r"share is .*: expected a number above 0 and up to 1, or None"):
        models[0].score_masked("a cat", share=share)
