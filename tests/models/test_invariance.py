"""The promise that a sequence's result has the same bits whatever else is in the batch.

Alone, in any batch, in any order, with any number of threads, in every dtype, on every instruction
set that this machine has. Bits are compared, never values within a tolerance.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bertc
from bertc.artifact.reader import open_artifact
from bertc.runtime.session import Session
from tests.support.artifacts import Artifacts
from tests.support.batches import packed, random_lengths
from tests.support.native import ISAS
from tests.support.real_data import MINILM, sts_sentences

Array = np.ndarray[Any, Any]

DTYPES = ("fp32", "bf16", "int8", "fours")
ODD_SIZES: dict[str, Any] = {
    "hidden_size": 72,
    "num_attention_heads": 4,
    "intermediate_size": 150,
    "max_position_embeddings": 512,
    "pooling": "mean",
    "normalize": True,
}
"""No size is a multiple of what kernels work on: the last rows and columns of a tile matter too."""
BLOCK_EDGES = (15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129)
"""Lengths around the sizes of tiles, blocks of queries and chunks of a batch."""


def random_sequences(lengths: Sequence[int], seed: int = 0) -> list[Array]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 300, length, dtype=np.int32) for length in lengths]


def run_all(session: Session, sequences: Sequence[Array], **options: Any) -> list[dict[str, bytes]]:
    """The bits of every output of each sequence, all run in one batch."""
    ids, bounds = packed(sequences)
    results = session.run(ids, bounds, **options)
    per_token = {name for name, array in results.items() if len(array) == len(ids)}
    return [
        {
            name: array[slice(*bounds[i : i + 2]) if name in per_token else i].tobytes()
            for name, array in results.items()
        }
        for i in range(len(sequences))
    ]


def one_by_one(session: Session, sequences: Sequence[Array]) -> list[dict[str, bytes]]:
    return [run_all(session, [sequence])[0] for sequence in sequences]


def random_batches(count: int, seed: int) -> Iterator[list[int]]:
    """The numbers below ``count`` in random order, in batches of random sizes."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(count).tolist()
    while order:
        size = int(rng.integers(1, 1 + len(order)))
        yield order[:size]
        order = order[size:]


@pytest.fixture(params=DTYPES)
def artifact(request: pytest.FixtureRequest, artifacts: Artifacts) -> Path:
    return artifacts.tiny(request.param, **ODD_SIZES)


@pytest.mark.parametrize("isa", ISAS)
def test_alone_in_any_batch_in_any_order_with_any_threads(artifact: Path, isa: str) -> None:
    opened = open_artifact(artifact)
    sequences = random_sequences([*random_lengths(np.random.default_rng(1), 30, 100), *BLOCK_EDGES])
    expected = one_by_one(Session(opened.executable, num_threads=1, isa=isa), sequences)
    assert set(expected[0]) == {"last_hidden_state", "pooler_output", "sentence_embedding"}
    for threads in (1, 2, 3):
        session = Session(opened.executable, num_threads=threads, isa=isa)
        assert run_all(session, sequences) == expected
        assert run_all(session, sequences[::-1]) == expected[::-1]
        for batch in random_batches(len(sequences), seed=threads):
            assert run_all(session, [sequences[i] for i in batch]) == [expected[i] for i in batch]


@pytest.mark.parametrize("isa", ISAS)
def test_few_long_sequences_and_many_short_ones(artifact: Path, isa: str) -> None:
    """Threads share each op of the first kind of batch, and take chunks of the second for themselves."""
    opened = open_artifact(artifact)
    sequences = random_sequences([512, 511, 5, 300, 1])
    short = random_sequences([9] * 40, seed=1)
    alone = Session(opened.executable, num_threads=1, isa=isa)
    expected, expected_short = one_by_one(alone, sequences), one_by_one(alone, short)
    for threads in (2, 4):
        session = Session(opened.executable, num_threads=threads, isa=isa)
        assert run_all(session, sequences[:1]) == expected[:1]
        assert run_all(session, sequences[1:]) == expected[1:]
        assert run_all(session, short) == expected_short
        assert run_all(session, [*short, sequences[0]]) == [*expected_short, expected[0]]


@pytest.mark.native
@pytest.mark.parametrize("tokens", [1, 2, 127, 128, 129, 255, 256, 257, 384, 1000])
def test_every_size_of_batch(artifact: Path, tokens: int) -> None:
    """However a batch of so many tokens is cut into chunks."""
    opened = open_artifact(artifact)
    probe = random_sequences([7])[0]
    expected = one_by_one(Session(opened.executable, num_threads=1), [probe])[0]
    filler = random_sequences([11] * (tokens // 11) + [tokens % 11] * (tokens % 11 > 0), seed=2)
    for threads in (1, 2, 5):
        session = Session(opened.executable, num_threads=threads)
        for place in (0, len(filler) // 2, len(filler)):
            found = run_all(session, [*filler[:place], probe, *filler[place:]])
            assert found[place] == expected


@pytest.mark.native
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("head", ["classification", "token_classification"])
def test_heads(artifacts: Artifacts, head: str, dtype: str) -> None:
    opened = open_artifact(artifacts.tiny(dtype, head, max_position_embeddings=512))
    sequences = random_sequences([*random_lengths(np.random.default_rng(3), 20, 200), 2])
    expected = one_by_one(Session(opened.executable, num_threads=1), sequences)
    for threads in (1, 2):
        session = Session(opened.executable, num_threads=threads)
        for batch in random_batches(len(sequences), seed=threads):
            assert run_all(session, [sequences[i] for i in batch]) == [expected[i] for i in batch]


@pytest.mark.native
def test_asking_for_one_output_or_spelling_out_defaults_changes_no_bits(artifact: Path) -> None:
    session = Session(open_artifact(artifact).executable, num_threads=2)
    sequences = random_sequences([30, 1, 4, 150])
    expected = run_all(session, sequences)
    for name in session.output_names:
        assert run_all(session, sequences, outputs=[name]) == [{name: each[name]} for each in expected]
    positions = np.concatenate([np.arange(len(each), dtype=np.int32) for each in sequences])
    spelled_out = run_all(session, sequences, token_type_ids=np.zeros_like(positions), position_ids=positions)
    assert spelled_out == expected


@pytest.mark.native
@pytest.mark.parametrize("dtype", DTYPES)
def test_sentences_of_a_trained_model(artifacts: Artifacts, dtype: str) -> None:
    path = artifacts.real(MINILM, dtype)
    texts = [*sts_sentences()[::90], "a long text of many words " * 40]
    one, two = bertc.load(path, num_threads=1), bertc.load(path, num_threads=2)
    together = np.asarray(two.encode(texts))
    assert np.array_equal(one.encode(texts), together)
    assert np.array_equal(np.asarray(two.encode(texts[::-1]))[::-1], together)
    assert np.array_equal(np.stack([two.encode(text) for text in texts]), together)
    by_length = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    assert np.array_equal(one.encode([texts[i] for i in by_length], batch_size=4), together[by_length])
