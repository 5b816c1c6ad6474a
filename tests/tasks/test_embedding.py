from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bertc
from bertc.errors import InputError
from bertc.runtime.tokenization import TokenCounts
from bertc.tasks.embedding import Embedding
from tests.conftest import MakeArtifact
from tests.support.answers import answers, tokenizer
from tests.support.tiny_models import make_bert_checkpoint, write_json

TEXTS = ["the man", "a good dog plays", "", "cat", "one two three"]


def test_tokens_are_counted_as_encode_sees_them(tmp_path: Path) -> None:
    """The default prompt stands before each text; a tuple is a batch, and a pair one inside of it."""
    path = make_bert_checkpoint(tmp_path / "source", pooling="mean")
    settings = {"prompts": {"odd": "the man "}, "default_prompt_name": "odd"}
    write_json(path / "config_sentence_transformers.json", settings)
    embedder = bertc.load(bertc.compile(path, tmp_path / "x.bertc", dtype="fp32").path)
    assert embedder.count_tokens(("cat", "dog cat")) == TokenCounts(5 + 6, 0)
    assert embedder.count_tokens([("cat", "dog cat")]) == TokenCounts(8, 0)
    assert embedder.count_tokens("cat " * 70) == TokenCounts(64, 1)


@pytest.fixture
def embedder(artifact: MakeArtifact) -> bertc.Embedder:
    loaded = bertc.load(artifact())
    assert isinstance(loaded, bertc.Embedder)
    return loaded


def test_a_list_gives_a_matrix_in_order(embedder: bertc.Embedder) -> None:
    vectors = embedder.encode(TEXTS)
    assert isinstance(vectors, np.ndarray) and vectors.shape == (5, 32) and vectors.dtype == np.float32
    assert embedder.dimensions == 32
    for text, row in zip(TEXTS, vectors, strict=True):
        assert np.array_equal(embedder.encode([text])[0], row)


def test_what_inputs_mean(embedder: bertc.Embedder) -> None:
    texts = embedder.encode(["cat", "dog"])
    assert np.array_equal(embedder.encode("cat"), texts[0])
    for batch in (("cat", "dog"), np.array(["cat", "dog"]), (text for text in ("cat", "dog"))):
        assert np.array_equal(embedder.encode(batch), texts)
    pair = embedder.encode([("cat", "dog")])
    assert pair.shape == (1, 32) and not np.allclose(pair[0], texts[0])


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (
            [["cat", "dog"]],
            r'inputs\[0\] is a list, .* a pair as a tuple, \[\("a", "b"\)\], and words as one',
        ),
        (["cat", 3], r"inputs\[1\] is int: expected a string"),
        ([("cat", "dog", "man")], r"inputs\[0\] is a tuple of 3 strings"),
        ([("cat", None)], r"inputs\[0\] is a tuple that holds NoneType"),
        (3, "inputs are int"),
        (b"cat", "inputs are bytes"),
        ({"text": "cat"}, "inputs are dict"),
    ],
)
def test_what_is_no_text_is_refused(embedder: bertc.Embedder, inputs: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        embedder.encode(inputs)


def test_no_text_gives_an_empty_matrix(embedder: bertc.Embedder) -> None:
    vectors = embedder.encode([])
    assert isinstance(vectors, np.ndarray) and vectors.shape == (0, 32)
    assert embedder.encode([], convert_to_numpy=False) == []


def test_a_list_of_vectors_on_request(embedder: bertc.Embedder) -> None:
    vectors = embedder.encode(TEXTS, convert_to_numpy=False)
    assert isinstance(vectors, list) and len(vectors) == 5
    assert np.array_equal(np.stack(vectors), embedder.encode(TEXTS))


def test_truncated_first_then_normalized(embedder: bertc.Embedder) -> None:
    plain = embedder.encode(TEXTS)
    cut = embedder.encode(TEXTS, truncate_dim=3)
    assert np.array_equal(cut, plain[:, :3])
    both = embedder.encode(TEXTS, truncate_dim=3, normalize_embeddings=True)
    assert np.allclose(both, cut / np.linalg.norm(cut, axis=1, keepdims=True), atol=1e-7)
    assert embedder.encode(TEXTS, truncate_dim=99).shape == (5, 32)


def test_zero_vector_normalizes_to_zero() -> None:
    assert not np.any(answers(Embedding(tokenizer(), normalize=True), ["cat"], np.zeros((300, 8))))


def test_normalized_rows_have_the_same_bits_alone(embedder: bertc.Embedder) -> None:
    vectors = embedder.encode(TEXTS, normalize_embeddings=True)
    for text, row in zip(TEXTS, vectors, strict=True):
        assert np.array_equal(embedder.encode(text, normalize_embeddings=True), row)


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 0},
        {"batch_size": "3"},
        {"truncate_dim": -1},
        {"precision": "int4"},
        {"output_value": None},
        {"prompt_name": "passage"},
        {"prompt": 3},
        {"ranges": np.zeros((2, 3)), "precision": "int8"},
    ],
)
def test_wrong_options_are_named(embedder: bertc.Embedder, options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(options))):
        embedder.encode(TEXTS, **options)
