"""The loop over many items: bounded windows, in order, one warning, progress."""

from __future__ import annotations

import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import processors

import bertc
from bertc.errors import InputError
from bertc.runtime import batching, progress
from bertc.runtime.batching import PackedBatch
from bertc.runtime.tokenization import Tokenizer
from tests.conftest import MakeArtifact
from tests.support.hf_checkpoints import save_checkpoint
from tests.support.tiny_models import make_tokenizer

TEXTS = ["the man", "a good dog plays", "", "cat", "one two three"]


@pytest.fixture
def embedder(artifact: MakeArtifact) -> bertc.Embedder:
    loaded = bertc.load(artifact())
    assert isinstance(loaded, bertc.Embedder)
    return loaded


@pytest.fixture
def batches(embedder: bertc.Embedder, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of sequences of each batch that runs."""
    sizes: list[int] = []
    run_batch = embedder.session.run_batch

    def count(batch: PackedBatch, **options: Any) -> Any:
        sizes.append(len(batch.cu_seqlens) - 1)
        return run_batch(batch, **options)

    monkeypatch.setattr(embedder.session, "run_batch", count)
    return sizes


def test_batch_size_changes_nothing(
    embedder: bertc.Embedder, batches: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = embedder.encode(TEXTS)
    assert batches == [5]
    monkeypatch.setattr(batching, "WINDOW_ITEMS", 2)
    batches.clear()
    assert np.array_equal(embedder.encode(TEXTS, batch_size=1), expected)
    assert batches == [2, 2, 1]


def test_one_window_starts_no_thread(embedder: bertc.Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("a thread was started")

    embedder.encode(TEXTS)  # the session's own threads are running
    monkeypatch.setattr(threading.Thread, "start", refuse)
    embedder.encode(TEXTS)


def test_no_thread_is_left_after_an_error_or_an_answer(
    embedder: bertc.Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "WINDOW_ITEMS", 1)
    embedder.encode(TEXTS)
    wrong: list[Any] = ["a", 3, "b", "c"]
    with pytest.raises(InputError):
        embedder.encode(wrong)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("bertc-prepare")]


def test_each_call_warns_once_and_counts_the_texts_that_it_cut(
    embedder: bertc.Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "WINDOW_ITEMS", 2)
    for cut in (3, 2):
        texts = [*TEXTS, *["dog " * 100] * cut]
        with pytest.warns(bertc.TruncationWarning) as caught:
            embedder.encode(texts, batch_size=1)
        message = f"{cut} of {5 + cut} texts have more than 64 tokens, the limit of this model"
        assert [str(each.message)[: len(message)] for each in caught] == [message]
    with pytest.warns(bertc.TruncationWarning, match="^the text has more than 64 tokens"):
        embedder.encode("dog " * 100)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        embedder.encode(TEXTS)


def test_progress_is_shown_on_request(
    embedder: bertc.Embedder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    embedder.encode(TEXTS)
    assert capsys.readouterr().err == ""
    embedder.encode(TEXTS, show_progress_bar=True)
    assert "encode: 5 of 5" in capsys.readouterr().err


def test_progress_has_the_name_of_the_method(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    source = save_checkpoint(tmp_path / "source", "BertForPreTraining")
    model = bertc.load(bertc.compile(source, tmp_path / "x.bertc", dtype="fp32").path)
    model.next_sentence("the man", "a dog", show_progress_bar=True)
    assert capsys.readouterr().err.startswith("next_sentence: 1 of 1")
    model.fill_mask("the [MASK]", show_progress_bar=True)
    assert capsys.readouterr().err.startswith("fill_mask: 1 of 1")


def test_index_of_a_wrong_text_counts_all_windows(
    embedder: bertc.Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "WINDOW_ITEMS", 2)
    wrong: list[Any] = [*TEXTS, 3.5]
    with pytest.raises(InputError, match=r"inputs\[5\] is float"):
        embedder.encode(wrong)


@pytest.fixture
def without_special_tokens(embedder: bertc.Embedder) -> bertc.Embedder:
    """A model whose tokenizer puts nothing around a text, so that an empty one has no token."""
    native = make_tokenizer()
    native.post_processor = processors.TemplateProcessing(single="$A", pair="$A $B", special_tokens=[])
    embedder.tokenizer = Tokenizer(native.to_str(), embedder.info.max_seq_length)
    return embedder


def test_a_text_without_a_token_is_a_vector_of_zeros(without_special_tokens: bertc.Embedder) -> None:
    encode = without_special_tokens.encode
    vectors = encode(["", "cat", " ", "", "a dog", "\u200b"])
    assert not vectors[[0, 2, 3, 5]].any()
    assert np.array_equal(vectors[[1, 4]], encode(["cat", "a dog"]))
    assert np.array_equal(encode(["", ""]), np.zeros((2, 32), np.float32)) and not encode("").any()


@pytest.mark.parametrize(
    ("head", "method"), [("classification", "classify"), ("token_classification", "tag")]
)
def test_a_text_without_a_token_has_no_label(artifact: MakeArtifact, head: str, method: str) -> None:
    encoder = bertc.load(artifact(head))
    native = make_tokenizer()
    native.post_processor = processors.TemplateProcessing(single="$A", pair="$A $B", special_tokens=[])
    encoder.tokenizer = Tokenizer(native.to_str(), encoder.info.max_seq_length)
    answer = getattr(encoder, method)
    if method == "tag":
        assert answer(["", "paris cat"]) == [[], answer("paris cat")] and answer([""]) == [[]]
        assert encoder.predict_tags([["", " "], []]) == [["O", "O"], []]
    else:
        with pytest.raises(InputError, match=r"inputs\[1\] has no token"):
            answer(["cat", ""])


def test_the_warning_names_the_line_that_called_whatever_method(embedder: bertc.Embedder) -> None:
    with pytest.warns(UserWarning, match="more than 64 tokens") as caught:
        embedder.encode_query("word " * 100)
    assert caught[0].filename == __file__
