from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import bertc
from bertc.artifact.embedding_facts import EmbeddingFacts
from bertc.artifact.reader import open_artifact
from bertc.bench import engine as module
from bertc.bench.engine import TEXT_MODES, Driver, batches, evenly
from bertc.bench.ours import CompiledModel, token_lengths
from tests.bench.fakes import FakeEngine
from tests.conftest import MakeArtifact
from tests.support.answers import make_info

INFO = make_info("embedding")
TEXTS = ["one", "dog cat", "", "a man playing the guitar"]


def test_a_shape_is_run_as_often_as_asked_after_one_call_to_warm_up() -> None:
    engine = FakeEngine()
    result = Driver(engine, INFO).run_shape(batch=3, length=5, calls=4)
    assert engine.bound == [(3, 5)] and engine.runs == 5
    assert len(result.calls_ms) == 4 and result.unit_ms == result.kernel_ms > 0


def test_a_slow_shape_needs_no_warming_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLOW_SECONDS", 0.0)
    engine = FakeEngine()
    assert len(Driver(engine, INFO).run_shape(1, 2, calls=2).calls_ms) == engine.runs == 2


@pytest.mark.parametrize("mode", TEXT_MODES)
def test_texts_are_run_in_the_way_of_the_mode(mode: str) -> None:
    engine = FakeEngine()
    result = Driver(engine, INFO, TEXTS).run_texts(mode, calls=2)
    text_mode = TEXT_MODES[mode]
    size = 1 if mode == "single" else len(TEXTS)
    calls = 2 * len(TEXTS) if mode == "single" else 2
    assert engine.encoded[1:] == [(size, text_mode.batch_size, text_mode.sort)] * calls
    assert len(result.calls_ms) == calls
    assert result.kernel_ms == 250 * calls / 2


def test_batches_cover_an_order() -> None:
    assert batches("abcde", 2, [4, 3, 2, 1, 0]) == [[4, 3], [2, 1], [0]]
    assert batches("abc", None, range(3)) == [[0, 1, 2]]
    assert batches([], None, []) == []


def test_calibration_texts_come_from_all_over() -> None:
    texts = [str(number) for number in range(10)]
    assert evenly(texts, 4) == ["0", "2", "5", "7"]
    assert evenly(texts, 20) == texts


def test_of_many_texts_only_some_are_run_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SINGLE_TEXTS", 2)
    single, whole = FakeEngine(), FakeEngine()
    assert len(Driver(single, INFO, TEXTS).run_texts("single", calls=3).calls_ms) == 6
    Driver(whole, INFO, TEXTS).run_texts("one_call", calls=1)
    assert whole.encoded[-1] == (len(TEXTS), None, False)


@pytest.mark.parametrize("mode", TEXT_MODES)
def test_our_engine_gives_what_encode_gives(artifact: MakeArtifact, mode: str) -> None:
    engine = CompiledModel(artifact(), 1)
    text_mode = TEXT_MODES[mode]
    found = engine.encode(TEXTS, batch_size=text_mode.batch_size, sort=text_mode.sort)
    assert np.array_equal(found, bertc.load(artifact()).encode(TEXTS))
    assert engine.kernel_seconds > 0


def test_our_engine_packs_padded_arrays(artifact: MakeArtifact) -> None:
    encoder = bertc.load(artifact())
    encodings = encoder.tokenizer(TEXTS).encodings
    ids = np.zeros((len(TEXTS), max(len(each.ids) for each in encodings)), np.int64)
    mask = np.zeros_like(ids)
    for row, encoding in enumerate(encodings):
        ids[row, : len(encoding.ids)] = encoding.ids
        mask[row, : len(encoding.ids)] = 1
    assert np.array_equal(CompiledModel(artifact()).bind(ids, mask)(), encoder.encode(TEXTS))


@pytest.mark.parametrize("head", ["embedding", "classification", "token_classification"])
def test_texts_are_timed_for_every_task(artifact: MakeArtifact, head: str) -> None:
    model, texts = CompiledModel(artifact(head)), ["cat", "dog cat"]
    found = Driver(model, model.encoder.info, texts).run_texts("one_call", calls=4)
    assert len(found.calls_ms) == 4
    assert 0 < found.kernel_ms <= found.unit_ms
    assert token_lengths(open_artifact(artifact(head)), texts) == [3, 4]


def test_token_vectors_of_texts_are_answers_of_their_own(artifact: MakeArtifact) -> None:
    model, texts = CompiledModel(artifact("token_classification")), ["cat", "dog cat"]
    vectors = [np.zeros((len(text), 2), np.float32) for text in texts]
    model.encoder.tag = lambda part: [vectors[texts.index(text)] for text in part]  # type: ignore[attr-defined]
    found = model.encode(texts, batch_size=1, sort=True)
    assert [each is vector for each, vector in zip(found, vectors, strict=True)] == [True, True]


def test_tokens_are_counted_with_the_default_prompt_and_up_to_the_limit_of_texts(
    artifact: MakeArtifact,
) -> None:
    plain = open_artifact(artifact())
    facts = EmbeddingFacts({"query": "a man "}, "query", max_lengths={"": 5})
    model = replace(plain.manifest.model, embedding=facts)
    prompted = replace(plain, manifest=replace(plain.manifest, model=model))
    assert token_lengths(plain, ["cat", "dog cat"]) == [3, 4]
    assert token_lengths(prompted, ["cat", "dog cat"]) == [5, 5]
