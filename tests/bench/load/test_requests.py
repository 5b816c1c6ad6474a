from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import bertc
from bertc.bench.load.requests import (
    BatchingEncoder,
    LoadSession,
    calls_of,
    fill_up,
    made_up,
    request_of_call,
    request_of_ids,
)
from bertc.bench.load.settings import END_TO_END, KERNEL, PreparedSequence
from bertc.ports import SELECTED
from bertc.runtime.batching import PackedBatch
from tests.conftest import MakeArtifact

TEXTS = ["the cat", "a dog", "one two three four"]


def loaded(path: Any) -> tuple[Any, LoadSession]:
    encoder = bertc.load(path, num_threads=1)
    session = LoadSession(encoder.artifact.executable, num_threads=1)
    encoder.session = session
    return encoder, session


def test_sequences_are_filled_up_by_others_behind_them() -> None:
    batch = PackedBatch(
        {"input_ids": np.array([1, 2, 3, 4, 5], np.int32), SELECTED: np.array([0, 2], np.int32)},
        np.array([0, 2, 5], np.int32),
    )
    filled = fill_up(batch, 3)
    assert filled.inputs["input_ids"].tolist() == [1, 2, 3, 4, 5, 0]
    assert filled.inputs[SELECTED].tolist() == [0, 2]
    assert filled.cu_seqlens.tolist() == [0, 2, 5, 6] and filled.cu_seqlens.dtype == np.int32
    assert fill_up(batch, 2).cu_seqlens.tolist() == [0, 2, 5]


@pytest.mark.parametrize("head", ["embedding", "classification", "token_classification"])
def test_filling_up_changes_no_bit_of_an_answer(artifact: MakeArtifact, head: str) -> None:
    encoder, session = loaded(artifact(head))
    method = {"embedding": "encode", "classification": "classify", "token_classification": "tag"}[head]
    plain, padded = (
        request_of_call(encoder, session, calls_of(method, TEXTS, 3)[0]) for session.length in (None, 16)
    )
    assert np.array_equal(np.array(plain[1], object), np.array(padded[1], object))
    assert plain[0].lengths == padded[0].lengths and plain[0].samples == 3


def test_a_request_runs_the_same_batches_in_the_model_alone(
    artifact: MakeArtifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder, session = loaded(artifact("classification"))
    session.length = 16
    request, _ = request_of_call(encoder, session, calls_of("classify", TEXTS, 3)[0])
    request.run[END_TO_END]()
    monkeypatch.setattr(encoder.tokenizer, "_native", None)  # nothing tokenizes any more
    logits = request.run[KERNEL]()
    assert isinstance(logits, dict) and logits["logits"].shape[0] == 6  # three texts, three that fill up


def test_prepared_ids_run_as_texts_do(artifact: MakeArtifact) -> None:
    encoder, session = loaded(artifact("classification"))
    ids = [np.array(each.ids, np.int32) for each in encoder.tokenizer(TEXTS).encodings]
    given = [
        PreparedSequence(ids[0], None),
        *(PreparedSequence(each, np.zeros_like(each)) for each in ids[1:]),
    ]
    request = request_of_ids(session, given, ("logits",))
    expected = session.run_batch(encoder.tokenizer(TEXTS).packed, outputs=("logits",))
    found = request.run[KERNEL]()
    assert isinstance(found, dict) and np.array_equal(found["logits"], expected["logits"])
    assert request.lengths == tuple(map(len, ids))


def test_made_up_ids() -> None:
    random = made_up("random", 2, 5, 300, seed=3)
    assert [len(each.ids) for each in random] == [5, 5] and random[0].ids.dtype == np.int32
    assert np.array_equal(random[1].ids, made_up("random", 2, 5, 300, seed=3)[1].ids)
    assert not np.concatenate([each.ids for each in made_up("zero", 2, 5, 300, seed=3)]).any()


def test_an_evaluator_is_answered_in_batches_and_its_calls_are_kept(artifact: MakeArtifact) -> None:
    encoder, session = loaded(artifact("classification"))
    model = BatchingEncoder(encoder, session, 2)
    assert model.classify(TEXTS, top_k=1) == encoder.classify(TEXTS)
    assert [(call.method, call.arguments, call.options) for call in model.calls] == [
        ("classify", (TEXTS[:2],), {"top_k": 1}),
        ("classify", (TEXTS[2:],), {"top_k": 1}),
    ]
    assert [request.samples for request in model.requests] == [2, 1]
    assert model.info is encoder.info
