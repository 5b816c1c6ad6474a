"""The queue of the server: bits under load are bits alone, and what is given up does not run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest

import bertc
from bertc.errors import InputError
from bertc.runtime.batch_queue import BatchQueue, ExpiredError, QueueError, split
from bertc.runtime.batching import PackedBatch
from tests.conftest import MakeArtifact
from tests.support.artifacts import Artifacts
from tests.support.hf_checkpoints import save_with_tokenizer
from tests.support.tiny_models import packed_inputs

pytestmark = pytest.mark.native

OUTPUT = "sentence_embedding"


def in_loop(max_batch_tokens: int, use: Callable[[BatchQueue], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        queue = BatchQueue(max_batch_tokens)
        queue.start()
        try:
            await use(queue)
        finally:
            queue.stop()

    asyncio.run(main())


def batch_of(lengths: list[int], seed: int) -> PackedBatch:
    inputs = packed_inputs(lengths, seed=seed)
    bounds = inputs.pop("cu_seqlens")
    return PackedBatch(inputs, bounds)


@pytest.mark.parametrize("dtype", ["fp32", "int8"])
def test_bits_under_load_are_bits_alone(artifact: MakeArtifact, dtype: str) -> None:
    rng = np.random.default_rng(0)
    encoder = bertc.load(artifact("embedding", dtype), num_threads=2)
    tagger = bertc.load(artifact("token_classification", dtype), num_threads=2)
    batches = [batch_of(rng.integers(1, 40, rng.integers(1, 4)).tolist(), seed) for seed in range(120)]
    models = [(encoder, OUTPUT), (tagger, "logits")]

    async def use(queue: BatchQueue) -> None:
        async def check(index: int, batch: PackedBatch) -> None:
            model, output = models[index % 3 == 0]
            found, times = await queue.run(model.session, batch, output)
            alone = model.session.run_batch(batch, outputs=(output,))[output]
            np.testing.assert_array_equal(found, alone)
            assert times.run_ns > 0

        await asyncio.gather(*(check(index, batch) for index, batch in enumerate(batches)))
        load = queue.load()
        assert load["requests"] == len(batches)
        assert load["batches"] < len(batches)
        assert load["waiting_requests"] == load["waiting_tokens"] == 0

    in_loop(256, use)


def test_a_large_batch_runs_in_pieces_with_the_same_bits(artifact: MakeArtifact) -> None:
    encoder = bertc.load(artifact("embedding"), num_threads=2)
    batch = batch_of([5, 60, 3, 3, 3, 40, 64, 1] * 5, 1)

    async def use(queue: BatchQueue) -> None:
        found, _ = await queue.run(encoder.session, batch, OUTPUT)
        np.testing.assert_array_equal(found, encoder.session.run_batch(batch, outputs=(OUTPUT,))[OUTPUT])
        assert queue.load()["batches"] > 5

    in_loop(70, use)


def test_pieces_keep_selected_tokens_of_their_sequences() -> None:
    batch = batch_of([3, 4, 5], 0).selecting(np.array([0, 2, 3, 11], np.int32))
    pieces = split(batch, 8)
    assert [piece.cu_seqlens.tolist() for piece in pieces] == [[0, 3, 7], [0, 5]]
    assert [piece.inputs["selected"].tolist() for piece in pieces] == [[0, 2, 3], [4]]
    assert split(batch, 100)[0] is batch


def test_selections_of_several_callers_do_not_mix(artifacts: Artifacts) -> None:
    checkpoint = artifacts.derived(
        "queue-masked-lm", lambda path: save_with_tokenizer(path, "BertForMaskedLM")
    )
    filler = bertc.load(artifacts.compile(checkpoint, "fp32"), num_threads=2)
    batches = [batch_of([7, 9, 4], seed).selecting(np.array([1, 8, 17], np.int32)) for seed in range(20)]

    async def use(queue: BatchQueue) -> None:
        async def check(batch: PackedBatch) -> None:
            found, _ = await queue.run(filler.session, batch, "logits")
            np.testing.assert_array_equal(
                found, filler.session.run_batch(batch, outputs=("logits",))["logits"]
            )

        await asyncio.gather(*map(check, batches))

    in_loop(1000, use)


def test_an_id_beyond_the_table_fails_alone(artifact: MakeArtifact) -> None:
    encoder = bertc.load(artifact("embedding"), num_threads=1)
    good = batch_of([5], 0)
    bad = PackedBatch({"input_ids": np.array([1, 300], np.int32)}, np.array([0, 2], np.int32))

    async def use(queue: BatchQueue) -> None:
        results = await asyncio.gather(
            *(queue.run(encoder.session, each, OUTPUT) for each in (good, bad, good)), return_exceptions=True
        )
        assert isinstance(results[1], QueueError)
        assert "300" in str(results[1])
        assert not any(isinstance(result, BaseException) for result in (results[0], results[2]))

    in_loop(1000, use)


def test_a_batch_that_makes_no_sense_is_refused_at_once(artifact: MakeArtifact) -> None:
    encoder = bertc.load(artifact("embedding"), num_threads=1)
    bad = PackedBatch({"input_ids": np.array([1, 2], np.int32)}, np.array([1, 2], np.int32))

    async def use(queue: BatchQueue) -> None:
        with pytest.raises(InputError, match="cu_seqlens"):
            await queue.run(encoder.session, bad, OUTPUT)

    in_loop(1000, use)


def test_what_is_cancelled_or_late_leaves_the_queue(artifact: MakeArtifact) -> None:
    encoder = bertc.load(artifact("embedding"), num_threads=1)
    large, small = batch_of([64] * 500, 0), batch_of([5], 0)

    async def use(queue: BatchQueue) -> None:
        first = asyncio.ensure_future(queue.run(encoder.session, large, OUTPUT))
        await asyncio.sleep(0)
        cancelled = asyncio.ensure_future(queue.run(encoder.session, small, OUTPUT))
        late = asyncio.ensure_future(queue.run(encoder.session, small, OUTPUT, timeout=1e-6))
        await asyncio.sleep(0)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        with pytest.raises(ExpiredError):
            await late
        await first
        assert queue.load()["requests"] == 1

    in_loop(10**6, use)
