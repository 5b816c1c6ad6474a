"""Embeddings as files, for a model that was compiled from its embeddings on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bertc
from bertc.encoder import Encoder
from bertc.errors import InputError
from bertc.prepared.inputs import prepare
from bertc.prepared.running import run_prepared
from tests.conftest import MakeArtifact

pytestmark = pytest.mark.native


@pytest.fixture
def rest(checkpoint: MakeArtifact, tmp_path: Path) -> Encoder:
    bertc.compile(checkpoint(), tmp_path / "rest.bertc", "fp32", inputs="embeddings")
    return bertc.load(tmp_path / "rest.bertc")


def prepared(model: Encoder, data: Path, tmp_path: Path) -> Path:
    tables = bertc.EmbeddingTables.load(tmp_path / "rest.embeddings.safetensors")

    def embed(ids: Any, type_ids: Any) -> Any:
        return tables(ids, [0, len(ids)], type_ids)

    prepare(model, data, tmp_path / "in", "npy", embed=embed)
    with pytest.raises(InputError, match="embeddings are written as npy, and without padding"):
        prepare(model, data, tmp_path / "padded", "npy", lengths=[32], embed=embed)
    return tmp_path / "in"


def test_embeddings_give_the_vectors_of_texts(
    model: Callable[..., Encoder], raw: Callable[[str], Path], rest: Encoder, tmp_path: Path
) -> None:
    whole = model("sts", "fp32")
    folder = prepared(whole, raw("sts"), tmp_path)
    first = np.load(folder / "000002.npy")
    assert first.dtype == np.float32 and first.ndim == 3 and first.shape[::2] == (1, 32)
    counts = run_prepared(rest, folder, tmp_path / "out", "npy")
    assert counts["samples"] == 6
    for number, text in enumerate(["the cat", "the cat", "a good film", "one two", "a dog", "the sea"]):
        found = np.load(tmp_path / "out" / f"{number:06d}.npy")[0]
        np.testing.assert_allclose(found, whole.encode(text), atol=1e-5)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([[2, 5, 3]]), "holds token ids, but .* takes vectors of 32 numbers: make them with bertc"),
        (np.ones((1, 3, 16)) / 2, "holds vectors of 16 numbers, but .* takes such of 32"),
        (np.ones((1, 70, 32)) / 2, "70 tokens, but .* takes at most 64"),
    ],
)
def test_other_arrays_are_refused(rest: Encoder, tmp_path: Path, array: Any, message: str) -> None:
    (tmp_path / "in").mkdir()
    np.save(tmp_path / "in" / "0.npy", array)
    with pytest.raises(InputError, match=message):
        run_prepared(rest, tmp_path / "in", tmp_path / "out", "npy")
