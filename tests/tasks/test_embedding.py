from __future__ import annotations

import threading
import warnings
from typing import Any

import numpy as np
import pytest

from bertc.errors import InputError
from bertc.runtime import batching, progress
from bertc.tasks.embedding import Embedding
from tests.support.fake_session import TableSession, make_info, make_model

TABLE = np.random.default_rng(0).normal(size=(300, 8))
TEXTS = ["the man", "a good dog plays", "", "cat", "one two three"]


@pytest.fixture
def session() -> TableSession:
    return TableSession(TABLE, "sentence_embedding")


@pytest.fixture
def task(session: TableSession) -> Embedding:
    return Embedding(make_model(session, make_info("embedding")))


def test_a_list_gives_a_matrix_in_order(task: Embedding) -> None:
    vectors = task.encode(TEXTS)
    assert isinstance(vectors, np.ndarray) and vectors.shape == (5, 8) and vectors.dtype == np.float32
    for text, row in zip(TEXTS, vectors, strict=True):
        assert np.array_equal(task.encode([text])[0], row)


def test_one_string_or_one_pair_gives_one_vector(task: Embedding) -> None:
    assert np.array_equal(task.encode("cat"), task.encode(["cat"])[0])
    pair = task.encode(("cat", "dog"))
    assert isinstance(pair, np.ndarray) and pair.shape == (8,)


def test_no_text_gives_an_empty_matrix(task: Embedding) -> None:
    vectors = task.encode([])
    assert isinstance(vectors, np.ndarray) and vectors.shape == (0, 8)
    assert task.encode([], convert_to_numpy=False) == []


def test_a_list_of_vectors_on_request(task: Embedding) -> None:
    vectors = task.encode(TEXTS, convert_to_numpy=False)
    assert isinstance(vectors, list) and len(vectors) == 5
    assert np.array_equal(np.stack(vectors), task.encode(TEXTS))


def test_truncated_first_then_normalized(task: Embedding) -> None:
    plain = np.asarray(task.encode(TEXTS))
    cut = np.asarray(task.encode(TEXTS, truncate_dim=3))
    assert np.array_equal(cut, plain[:, :3])
    both = np.asarray(task.encode(TEXTS, truncate_dim=3, normalize_embeddings=True))
    assert np.allclose(both, cut / np.linalg.norm(cut, axis=1, keepdims=True), atol=1e-7)
    assert np.asarray(task.encode(TEXTS, truncate_dim=99)).shape == (5, 8)


def test_zero_vector_normalizes_to_zero() -> None:
    task = Embedding(
        make_model(TableSession(np.zeros((300, 8)), "sentence_embedding"), make_info("embedding"))
    )
    assert not np.any(task.encode("cat", normalize_embeddings=True))


def test_normalized_rows_have_the_same_bits_alone(task: Embedding) -> None:
    vectors = task.encode(TEXTS, normalize_embeddings=True)
    for text, row in zip(TEXTS, vectors, strict=True):
        assert np.array_equal(task.encode(text, normalize_embeddings=True), row)


def test_batch_size_changes_nothing(
    task: Embedding, session: TableSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = task.encode(TEXTS)
    assert session.calls == [5]
    monkeypatch.setattr(batching, "WINDOW_ITEMS", 2)
    session.calls.clear()
    assert np.array_equal(task.encode(TEXTS, batch_size=1), expected)
    assert session.calls == [2, 2, 1]


def test_one_warning_even_from_many_threads(task: Embedding) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        threads = [threading.Thread(target=task.encode, args=("dog " * 50,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(caught) == 1


def test_progress_is_shown_on_request(
    task: Embedding, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    task.encode(TEXTS)
    assert capsys.readouterr().err == ""
    task.encode(TEXTS, show_progress_bar=True)
    assert "5 of 5" in capsys.readouterr().err


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"batch_size": "3"}, {"truncate_dim": -1}])
def test_wrong_options_are_named(task: Embedding, options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(options))):
        task.encode(TEXTS, **options)


def test_index_of_a_wrong_text_counts_all_windows(task: Embedding, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "WINDOW_ITEMS", 2)
    wrong: list[Any] = [*TEXTS, 3.5]
    with pytest.raises(InputError, match=r"inputs\[5\] is float"):
        task.encode(wrong)
