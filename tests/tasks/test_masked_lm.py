"""Masks are filled as the ``fill-mask`` pipeline of transformers fills them."""

from __future__ import annotations

import re
import warnings
from typing import Any

import numpy as np
import pytest

import bertc
from bertc.errors import InputError
from bertc.runtime.batching import PackedBatch
from bertc.tasks import masked_lm
from bertc.tasks.masked_lm import MaskFilling
from tests.support.answers import VOCABULARY, make_info, tokenizer
from tests.support.artifacts import Artifacts
from tests.support.hf_checkpoints import byte_level_tokenizer, load_fp32, load_transformers, save_checkpoint
from tests.support.multilingual import TEXTS

Array = np.ndarray[Any, Any]

FAMILIES = ("Bert", "Roberta")


@pytest.fixture(scope="module", params=FAMILIES)
def models(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A tiny model, and the pipeline for the same checkpoint."""
    transformers = pytest.importorskip("transformers")
    name = f"{request.param}ForMaskedLM"
    special: dict[str, Any] = {}
    if request.param == "Roberta":
        special = {"tokenizer": byte_level_tokenizer(TEXTS), "vocab_size": 320, "type_vocab_size": 1}
    path = tmp_path_factory.mktemp(request.param) / "model"
    save_checkpoint(path, name, max_position_embeddings=402, **special)
    ours = load_fp32(path)
    assert isinstance(ours, bertc.MaskFiller)
    model, theirs = load_transformers(path, name)
    return ours, transformers.FillMaskPipeline(model=model, tokenizer=theirs, device="cpu")


def masked(text: str, mask: str, count: int) -> str:
    """A text, cut to what the models take, of which ``count`` pieces are masks."""
    words = [word[:12] for word in text.split(" ")[:40]]
    for place in np.linspace(0, len(words), count, endpoint=False).astype(int):
        words[place] = mask
    return " ".join(words)


def assert_same(found: Any, expected: Any) -> None:
    if isinstance(expected[0], list):
        assert len(found) == len(expected)
        for ours, theirs in zip(found, expected, strict=True):
            assert_same(ours, theirs)
        return
    for key in ("token", "token_str", "sequence"):
        assert [each[key] for each in found] == [each[key] for each in expected]
    assert [each["score"] for each in found] == pytest.approx([e["score"] for e in expected], abs=1e-4)
    assert [list(each) for each in found] == [list(each) for each in expected]


@pytest.mark.parametrize("count", [1, 5])
def test_masks_are_filled_as_by_the_pipeline(models: Any, count: int) -> None:
    ours, pipeline = models
    mask = ours.info.facts["mask_token"]
    texts = [masked(text, mask, min(count, text.count(" ") + 1)) for text in TEXTS]
    assert len(texts) == 50 and max(map(len, texts)) > 200
    for found, expected in zip(ours.fill_mask(texts), pipeline(texts), strict=True):
        assert_same(found, expected)


@pytest.mark.parametrize("targets", [["dog", "cat", "e", "the"], "a"], ids=str)
def test_targets_limit_the_choice_as_in_the_pipeline(models: Any, targets: Any) -> None:
    ours, pipeline = models
    texts = [masked(text, ours.info.facts["mask_token"], 1) for text in TEXTS[::5]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # by RoBERTa's tokenizer some are no tokens
        found = ours.fill_mask(texts, targets=targets, top_k=3)
    for each, expected in zip(found, pipeline(texts, targets=targets, top_k=3), strict=True):
        assert_same(each, expected)


def test_one_text_has_the_same_bits_alone_and_in_a_batch(artifacts: Artifacts) -> None:
    path = artifacts.derived("masked-lm", lambda path: save_checkpoint(path, "BertForMaskedLM"))
    for dtype in ("fp32", "int8"):
        ours = bertc.load(artifacts.compile(path, dtype))
        assert isinstance(ours, bertc.MaskFiller)
        texts = [masked(text[:60], "[MASK]", 1 + index % 3) for index, text in enumerate(TEXTS[:22])]
        together = ours.fill_mask(texts)
        assert [ours.fill_mask(text) for text in texts[::4]] == together[::4]


def test_a_text_gives_a_list_and_a_list_gives_lists(models: Any) -> None:
    ours = models[0]
    mask = ours.info.facts["mask_token"]
    one = ours.fill_mask(f"the {mask} plays", top_k=2)
    assert [type(each) for each in one] == [dict, dict]
    assert ours.fill_mask([f"the {mask} plays"], top_k=2) == [one]
    assert ours.fill_mask([]) == []
    assert len(ours.fill_mask(f"the {mask}", top_k=10_000)) == ours.info.size("vocab_size")


def test_windows_are_small_where_the_vocabulary_is_large(
    models: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = models[0]
    mask, run_batch = ours.info.facts["mask_token"], ours.session.run_batch
    texts = [f"the {mask}", f"{mask} {mask}", mask, f"a {mask}", f"a dog {mask}"]
    expected = ours.fill_mask(texts)
    sizes = []

    def count(batch: PackedBatch, **options: Any) -> Any:
        sizes.append(len(batch.inputs["selected"]))
        return run_batch(batch, **options)

    monkeypatch.setattr(ours.session, "run_batch", count)
    monkeypatch.setattr(masked_lm, "_WINDOW_LOGITS", 2 * ours.info.size("vocab_size"))
    assert ours.fill_mask(texts) == expected
    assert sizes == [3, 2, 1]


def test_a_text_without_a_mask_is_named(models: Any) -> None:
    mask = models[0].info.facts["mask_token"]
    for inputs, index in (("a dog", 0), ([mask, "a dog"], 1), ([mask, ""], 1)):
        with pytest.raises(InputError, match=rf"inputs\[{index}\] has no mask"):
            models[0].fill_mask(inputs)


def test_a_mask_beyond_the_limit_is_named(models: Any) -> None:
    ours = models[0]
    mask, limit = ours.info.facts["mask_token"], ours.info.max_seq_length
    for text in ("the " * 500 + mask, f"{mask} {'the ' * 500}{mask}", f"{mask} {'the ' * 9000}{mask}"):
        with pytest.raises(InputError, match=re.escape(f"inputs[1] has a {mask} beyond the {limit} tokens")):
            ours.fill_mask([mask, text])
    with pytest.warns(bertc.TruncationWarning):
        assert ours.fill_mask(f"the {mask} " + "the " * 500)


def test_targets_that_are_no_token_stand_for_their_first_or_are_left_out(models: Any) -> None:
    ours = models[0]
    text = f"the {ours.info.facts['mask_token']} plays"
    with pytest.warns(UserWarning, match="'zzzq' is no token .*: 'z' stands for it") as caught:
        found = ours.fill_mask(text, targets=["zzzq"])
    assert caught[0].filename == __file__
    assert [each["token"] for each in found] == [ours.tokenizer.token_id("z")]
    with pytest.warns(UserWarning, match="'' is no token .*: it is left out"):
        assert len(ours.fill_mask(text, targets=["", "z"])) == 1
    with pytest.raises(InputError, match=r"targets are \[\]"):
        ours.fill_mask(text, targets=[])
    with pytest.raises(InputError, match=r"targets\[1\] is int"):
        ours.fill_mask(text, targets=["z", 3])


@pytest.mark.parametrize("top_k", [0, -1, True, 1.5, None])
def test_wrong_top_k_is_refused(models: Any, top_k: Any) -> None:
    with pytest.raises(InputError, match="top_k"):
        models[0].fill_mask("a", top_k=top_k)


def test_a_tokenizer_without_a_mask_is_named(models: Any) -> None:
    ours = models[0]
    bare = type(ours)(ours.session, ours.tokenizer, make_info("masked_lm", facts={}))
    with pytest.raises(InputError, match="tiny has no mask token"):
        bare.fill_mask("a")


def test_only_masks_are_selected() -> None:
    task = MaskFilling(tokenizer(), "[MASK]", VOCABULARY["[MASK]"])
    batch = task.prepare(["[MASK] dog", "the dog [MASK] the [MASK]", ("dog", "cat [MASK]")]).batch
    assert batch.inputs["selected"].dtype == np.int32
    assert batch.inputs["selected"].tolist() == [1, 7, 9, 15]
    assert (batch.inputs["input_ids"][batch.inputs["selected"]] == VOCABULARY["[MASK]"]).all()


def test_equal_scores_come_in_the_order_of_the_vocabulary() -> None:
    task = MaskFilling(tokenizer(), "[MASK]", VOCABULARY["[MASK]"], top_k=3)
    logits = np.zeros((1, 300), np.float32)
    logits[0, 120] = 1
    found = task.finish(task.prepare(["a [MASK]"]), logits)[0]
    assert [each["token"] for each in found] == [120, 0, 1]
    assert sum(each["score"] for each in found) == pytest.approx((np.e + 2) / (np.e + 299))
