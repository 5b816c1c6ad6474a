"""Sparse embedders: matrices and dicts, against sentence-transformers where it is installed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bertc
from bertc.errors import InputError, MissingExtraError
from bertc.runtime.batching import PackedBatch
from bertc.tasks import sparse
from bertc.tasks.sparse import SparseEmbedder, SparseEmbedding
from tests.support.answers import VOCABULARY, answers, tokenizer
from tests.support.hf_checkpoints import save_checkpoint
from tests.support.sentence_models import assert_close, compile_fp32, one_thread
from tests.support.texts import fifty_texts

__all__ = ["one_thread"]
"""A fixture for all tests here."""
pytestmark = pytest.mark.filterwarnings("ignore::bertc.TruncationWarning")
TEXTS = fifty_texts()


@pytest.fixture(scope="module", params=["max", "sum"])
def both(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Any, SparseEmbedder]:
    """A SPLADE model of sentence-transformers, and what it is compiled to."""
    st = pytest.importorskip("sentence_transformers")
    from sentence_transformers.sparse_encoder.modules import MLMTransformer, SpladePooling

    folder = tmp_path_factory.mktemp("sparse")
    save_checkpoint(folder / "checkpoint", "BertForMaskedLM", vocab_size=307)
    modules = [MLMTransformer(str(folder / "checkpoint")), SpladePooling(request.param)]
    model = st.SparseEncoder(modules=modules, prompts={"query": "a question: "})
    model.save_pretrained(str(folder / "model"))
    return model, compile_fp32(folder / "model")


def test_matrices_are_those_of_sentence_transformers(both: tuple[Any, SparseEmbedder]) -> None:
    model, ours = both
    matrix = ours.encode_sparse(TEXTS)
    assert matrix.shape == (50, 307) and matrix.dtype == np.float32 and matrix.format == "csr"
    assert_close(matrix.toarray(), model.encode(TEXTS).to_dense().numpy())
    assert_close(ours.encode_query(TEXTS).toarray(), model.encode_query(TEXTS).to_dense().numpy())
    assert_close(ours.encode_document(TEXTS).toarray(), model.encode_document(TEXTS).to_dense().numpy())
    expected = model.similarity(model.encode(TEXTS), model.encode(TEXTS)).numpy()
    assert np.allclose(ours.similarity(matrix, matrix), expected, rtol=1e-5)


def test_dense_rows_are_bounded_by_a_batch(
    both: tuple[Any, SparseEmbedder], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, rows = both[1], []
    expected = ours.encode_sparse(TEXTS)
    run_batch = ours.session.run_batch

    def record(batch: PackedBatch, **options: Any) -> Any:
        results = run_batch(batch, **options)
        rows.append(max(len(each) for each in results.values()))
        return results

    monkeypatch.setattr(ours.session, "run_batch", record)
    monkeypatch.setattr(sparse, "_WINDOW_WEIGHTS", 8 * ours.dimensions)
    for batch_size, largest in ((4, 8), (20, 20)):
        rows.clear()
        found = ours.encode_sparse(TEXTS, batch_size=batch_size)
        assert max(rows) == largest and sum(rows) == len(TEXTS)
        assert (found != expected).nnz == 0


def test_the_largest_entries(both: tuple[Any, SparseEmbedder]) -> None:
    model, ours = both
    matrix = ours.encode_sparse(TEXTS, top_k=9)
    assert (np.diff(matrix.indptr) <= 9).all() and matrix.nnz > 9
    assert_close(matrix.toarray(), model.encode(TEXTS, max_active_dims=9).to_dense().numpy())
    expected = model.decode(model.encode(TEXTS, max_active_dims=9))
    for found, pairs in zip(ours.encode_sparse(TEXTS, top_k=9, output="dict"), expected, strict=True):
        assert list(found) == [token for token, _ in pairs]
        assert_close(list(found.values()), [weight for _, weight in pairs])


def test_a_text_has_the_same_bits_in_any_batch(both: tuple[Any, SparseEmbedder]) -> None:
    _, ours = both
    whole = ours.encode_sparse(TEXTS)
    for index, text in enumerate(TEXTS):
        alone = ours.encode_sparse(text)
        assert np.array_equal(alone.indices, whole[index].indices)
        assert np.array_equal(alone.data, whole[index].data)


def test_decoding_gives_what_dicts_hold(both: tuple[Any, SparseEmbedder]) -> None:
    _, ours = both
    dicts = ours.encode_sparse(TEXTS, output="dict")
    assert ours.decode(ours.encode_sparse(TEXTS)) == dicts
    assert ours.decode(ours.encode_sparse(TEXTS), top_k=2)[3] == dict(list(dicts[3].items())[:2])
    assert ours.encode_sparse(TEXTS[3], output="dict") == dicts[3]
    with pytest.raises(InputError, match="embeddings have 3 columns, expected 307"):
        ours.decode(np.zeros((1, 3), np.float32))


def test_no_text_gives_an_empty_matrix(both: tuple[Any, SparseEmbedder]) -> None:
    _, ours = both
    assert ours.encode_sparse([]).shape == (0, 307)
    assert ours.encode_sparse([], output="dict") == []


@pytest.mark.parametrize(
    "options", [{"top_k": 0}, {"output": "coo"}, {"batch_size": -1}, {"prompt_name": "x"}]
)
def test_wrong_options_are_named(both: tuple[Any, SparseEmbedder], options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(options))):
        both[1].encode_sparse(TEXTS, **options)


def test_dicts_need_no_scipy(both: tuple[Any, SparseEmbedder], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.sparse", None)
    assert both[1].encode_sparse("cat", output="dict")
    with pytest.raises(MissingExtraError, match=r"bertc\[sparse\]"):
        both[1].encode_sparse("cat")


def test_equal_weights_are_kept_in_the_order_of_tokens() -> None:
    table = np.zeros((300, 8))
    table[VOCABULARY["cat"], [1, 3, 5, 7]] = [2, 1, 2, 1]
    (row,) = answers(SparseEmbedding(tokenizer(), top_k=3), ["cat"], table)
    assert row.columns.tolist() == [1, 3, 5] and row.weights.tolist() == [2, 1, 2]


def test_a_masked_lm_without_modules_is_taken_for_splade(tmp_path: Path) -> None:
    st = pytest.importorskip("sentence_transformers")
    save_checkpoint(tmp_path, "BertForMaskedLM")
    recipe = {"dtype": "fp32", "task": "sparse", "calibration": {"samples": 8, "held_out": 8}}
    artifact = bertc.compile(tmp_path, tmp_path / "x.bertc", recipe)
    (note,) = (each for each in artifact.certificate.notes if "BertForMaskedLM" in each)
    assert "does not say how to make vectors: SPLADE's max" in note
    ours = bertc.load(tmp_path / "x.bertc")
    assert isinstance(ours, SparseEmbedder)
    expected = st.SparseEncoder(str(tmp_path)).encode(TEXTS[:4]).to_dense().numpy()
    assert_close(ours.encode_sparse(TEXTS[:4]).toarray(), expected)
