"""The promise of ``test_invariance`` for what heads add: poolings, modules, vocabularies, selected tokens."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bertc
from bertc.artifact.reader import open_artifact
from bertc.frontends.huggingface import import_model
from bertc.ir import interpreter
from bertc.runtime.batching import PackedBatch
from bertc.runtime.session import Session
from tests.support.artifacts import Artifacts
from tests.support.batches import packed
from tests.support.hf_checkpoints import save_checkpoint
from tests.support.module_checkpoints import make_module_checkpoint
from tests.support.native import ISAS

Array = np.ndarray[Any, Any]
LENGTHS = (1, 2, 15, 17, 33, 60, 5, 8)


def sequences(seed: int = 0) -> list[Array]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 300, length, dtype=np.int32) for length in LENGTHS]


@pytest.fixture(scope="module")
def modules(artifacts: Artifacts) -> Path:
    return artifacts.derived("all-modules", make_module_checkpoint)


@pytest.mark.parametrize("dtype", ["fp32", "bf16", "int8"])
@pytest.mark.parametrize("isa", ISAS)
def test_modules_give_the_same_bits_alone_and_in_a_batch(
    modules: Path, artifacts: Artifacts, dtype: str, isa: str
) -> None:
    opened = open_artifact(artifacts.compile(modules, dtype))
    one, three = (Session(opened.executable, num_threads=threads, isa=isa) for threads in (1, 3))
    texts = sequences()
    together = three.run(*packed(texts))["sentence_embedding"]
    for text, expected in zip(texts, together, strict=True):
        np.testing.assert_array_equal(one.run(*packed([text]))["sentence_embedding"][0], expected)


@pytest.mark.parametrize("isa", ISAS)
def test_modules_equal_their_graph_in_numpy(modules: Path, artifacts: Artifacts, isa: str) -> None:
    opened = open_artifact(artifacts.compile(modules, "fp32"))
    ids, cu_seqlens = packed(sequences())
    found = Session(opened.executable, isa=isa).run(ids, cu_seqlens)["sentence_embedding"]
    inputs = {"input_ids": ids, "token_type_ids": np.zeros_like(ids), "cu_seqlens": cu_seqlens}
    expected = interpreter.run(import_model(modules).graph, inputs)["sentence_embedding"]
    assert found.shape == (len(LENGTHS), 45)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", ["fp32", "int8"])
@pytest.mark.parametrize("isa", ISAS)
def test_selected_tokens_give_the_same_bits_alone_and_in_a_batch(
    artifacts: Artifacts, dtype: str, isa: str
) -> None:
    source = artifacts.derived(
        "masked-lm", lambda path: save_checkpoint(path, "BertForMaskedLM", vocab_size=331)
    )
    opened = open_artifact(artifacts.compile(source, dtype))
    one, three = (Session(opened.executable, num_threads=threads, isa=isa) for threads in (1, 3))
    texts = sequences(1)
    ids, cu_seqlens = packed(texts)
    selected = np.arange(0, len(ids), 3, dtype=np.int32)
    together = three.run_batch(PackedBatch({"input_ids": ids}, cu_seqlens).selecting(selected))["logits"]
    row = 0
    for text, start in zip(texts, cu_seqlens, strict=False):
        mine = selected[(selected >= start) & (selected < start + len(text))] - start
        batch = PackedBatch({"input_ids": text}, packed([text])[1]).selecting(mine)
        np.testing.assert_array_equal(one.run_batch(batch)["logits"], together[row : row + len(mine)])
        row += len(mine)
    assert row == len(selected)


def test_a_sparse_vector_is_what_its_masked_lm_says(artifacts: Artifacts, tmp_path: Path) -> None:
    source = artifacts.derived(
        "masked-lm", lambda path: save_checkpoint(path, "BertForMaskedLM", vocab_size=331)
    )
    sparse = bertc.compile(source, tmp_path / "sparse.bertc", dtype="fp32", task="sparse")
    logits = open_artifact(artifacts.compile(source, "fp32"))
    ids, cu_seqlens = packed(sequences())
    batch = PackedBatch({"input_ids": ids}, cu_seqlens)
    every = Session(logits.executable).run_batch(batch.selecting(np.arange(len(ids), dtype=np.int32)))[
        "logits"
    ]
    found = Session(sparse.executable).run_batch(batch)["sparse_embedding"]
    for row, (start, stop) in zip(found, itertools.pairwise(cu_seqlens), strict=True):
        expected = np.log1p(np.maximum(every[start:stop], 0)).max(axis=0)
        np.testing.assert_allclose(row, expected, rtol=0, atol=2e-6)
