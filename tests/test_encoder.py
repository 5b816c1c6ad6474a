"""The loaded model as users meet it, on the native core."""

from __future__ import annotations

import dataclasses
import multiprocessing
import pickle
import threading
from typing import Any

import numpy as np
import pytest

import bertc
from bertc.errors import ArtifactError, InputError
from bertc.runtime.tokenization import TokenCounts
from tests.conftest import MakeArtifact

DTYPES = ("fp32", "bf16", "int8")
TEXTS = [
    "the man plays guitar",
    "",
    "a woman and a child",
    "hello world! " * 12,
    "cat",
    "\U0001f600 \ud800 我们在北京",
    "paris is not very far",
] * 3


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_text_has_the_same_bits_alone_in_a_batch_in_any_order(artifact: MakeArtifact, dtype: str) -> None:
    path = artifact("embedding", dtype)
    one, two = bertc.load(path, num_threads=1), bertc.load(path, num_threads=2)
    together = np.asarray(two.encode(TEXTS))
    assert together.shape == (len(TEXTS), 32) and together.dtype == np.float32
    assert np.array_equal(one.encode(TEXTS), together)
    assert np.array_equal(np.asarray(one.encode(TEXTS[::-1]))[::-1], together)
    for text, row in zip(TEXTS, together, strict=True):
        assert np.array_equal(two.encode(text), row)


def test_sentences_is_another_name_for_inputs(artifact: MakeArtifact) -> None:
    encoder = bertc.load(artifact())
    assert np.array_equal(encoder.encode(sentences=["cat"]), encoder.encode(["cat"]))
    for arguments in ({}, {"inputs": "a", "sentences": "a"}):
        with pytest.raises(InputError, match="sentences"):
            encoder.encode(**arguments)


def test_padded_call_equals_packed_run(artifact: MakeArtifact) -> None:
    encoder = bertc.load(artifact())
    ids = np.array([[2, 50, 51, 3], [2, 60, 3, 0]])
    output = encoder(input_ids=ids, attention_mask=ids != 0, token_type_ids=np.zeros_like(ids))
    packed = encoder.session.run(np.array([2, 50, 51, 3, 2, 60, 3]), np.array([0, 4, 7]))
    assert output.last_hidden_state is not None and output.pooler_output is not None
    assert output.logits is None
    assert np.array_equal(output.last_hidden_state[ids != 0], packed["last_hidden_state"])
    assert not output.last_hidden_state[1, 3].any()
    assert np.array_equal(output.pooler_output, packed["pooler_output"])


@pytest.mark.parametrize("dtype", DTYPES)
def test_hidden_states_are_given_when_asked_for(artifact: MakeArtifact, dtype: str) -> None:
    encoder = bertc.load(artifact("embedding", dtype))
    ids, mask = np.arange(5, 25).reshape(2, 10), np.ones((2, 10), np.int64)
    mask[1, 6:] = 0
    assert encoder(ids, mask).hidden_states is None
    output = encoder(ids, mask, output_hidden_states=True)
    assert output.hidden_states is not None
    assert [layer.shape for layer in output.hidden_states] == [(2, 10, 32)] * 3
    for array in (output.last_hidden_state, encoder(ids, mask).last_hidden_state):
        assert np.array_equal(output.hidden_states[-1], array)  # type: ignore[arg-type]
    assert not output.hidden_states[0][1, 6:].any() and output.hidden_states[0][1, :6].all()


def test_hidden_states_that_the_file_does_not_name_are_refused(artifact: MakeArtifact) -> None:
    encoder = bertc.load(artifact("embedding", "fp32"))
    encoder.info = dataclasses.replace(encoder.info, hidden_states=())
    with pytest.raises(InputError, match="does not say its layers: compile the model again"):
        encoder([[1, 2]], output_hidden_states=True)


def test_rows_without_a_token_give_zeros(artifact: MakeArtifact) -> None:
    encoder = bertc.load(artifact())
    ids = np.array([[2, 50, 3], [2, 60, 3]])
    some = encoder(ids, [[1, 1, 1], [0, 0, 0]])
    assert some.last_hidden_state is not None and some.pooler_output is not None
    assert some.last_hidden_state[0].any() and not some.last_hidden_state[1].any()
    assert not some.pooler_output[1].any()
    none = encoder(ids, np.zeros_like(ids))
    assert none.last_hidden_state is not None and none.pooler_output is not None
    assert none.last_hidden_state.shape == (2, 3, 32) and not none.last_hidden_state.any()
    assert none.pooler_output.shape == (2, 32) and not none.pooler_output.any()


@pytest.mark.parametrize(("head", "shape"), [("classification", (2, 2)), ("token_classification", (2, 3, 5))])
def test_a_head_gives_logits(artifact: MakeArtifact, head: str, shape: tuple[int, ...]) -> None:
    encoder = bertc.load(artifact(head))
    output = encoder(np.array([[2, 50, 3], [2, 60, 3]]), [[1, 1, 1], [1, 0, 0]])
    assert output.logits is not None and output.logits.shape == shape
    assert output.last_hidden_state is None
    none = encoder(np.array([[2, 50, 3], [2, 60, 3]]), np.zeros((2, 3), int))
    assert none.logits is not None and none.logits.shape == shape and not none.logits.any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_ids": [[2, 300]]}, "300"),
        ({"input_ids": [[2, -1]]}, "-1"),
        ({"input_ids": [[2, 3]], "token_type_ids": [[0, 2]]}, "token_type_ids"),
        ({"input_ids": [[2, 3]], "position_ids": [[0, 64]]}, "position_ids"),
        ({"input_ids": np.full((1, 65), 5)}, "position"),
        ({"input_ids": [2, 3]}, "shape"),
    ],
)
def test_ids_out_of_range_are_refused(
    artifact: MakeArtifact, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        bertc.load(artifact())(**arguments)


@pytest.mark.parametrize(
    ("head", "method", "answer"),
    [
        ("embedding", "classify", "encode, encode_query, encode_document and similarity"),
        ("classification", "encode", "classify, predict and rank"),
        ("classification", "tag", "classify, predict and rank"),
        ("token_classification", "encode", "tag and predict_tags"),
    ],
)
def test_a_method_of_another_task_is_refused(
    artifact: MakeArtifact, head: str, method: str, answer: str
) -> None:
    with pytest.raises(InputError, match=f"answers {answer}, not {method}"):
        getattr(bertc.load(artifact(head)), method)("a text")


def test_tokens_are_counted(artifact: MakeArtifact) -> None:
    encoder = bertc.load(artifact("token_classification"))
    assert encoder.count_tokens(["cat", "dog cat"]) == TokenCounts(7, 0)
    assert encoder.count_tokens([["cat"] * 70]) == TokenCounts(64, 1)
    assert encoder.count_tokens([["cat"] * 70], truncate=False) == TokenCounts(74, 0)


@pytest.mark.parametrize(
    ("head", "method"),
    [("embedding", "encode"), ("classification", "classify"), ("classification", "predict")],
)
def test_truncation_is_warned_of_once_per_call_where_it_was_asked_for(
    artifact: MakeArtifact, head: str, method: str
) -> None:
    ask = getattr(bertc.load(artifact(head)), method)
    with pytest.warns(UserWarning, match="more than 64 tokens") as caught:
        ask(["cat " * 70] * 2)
    assert [warning.filename for warning in caught] == [__file__]
    # Two strings in a list are one pair for ``predict``.
    subject = "the text has" if method == "predict" else "2 of 2 texts have"
    assert str(caught[0].message).startswith(f"{subject} more than 64 tokens")


def test_a_long_text_is_tagged_whole_without_a_warning(artifact: MakeArtifact) -> None:
    entities = bertc.load(artifact("token_classification")).tag("cat " * 1000, ignore_labels=())
    assert isinstance(entities[-1], dict) and entities[-1]["end"] == 3999


def test_labels_of_long_word_lists_need_no_truncation(artifact: MakeArtifact) -> None:
    assert len(bertc.load(artifact("token_classification")).predict_tags(["cat"] * 1000)) == 1000


def test_pickles_by_path(artifact: MakeArtifact) -> None:
    encoder = bertc.load(artifact(), num_threads=1)
    data = pickle.dumps(encoder)
    assert len(data) < 1000
    again = pickle.loads(data)
    assert again.session.num_threads == 1
    assert np.array_equal(again.encode(TEXTS), encoder.encode(TEXTS))


def test_shared_by_threads(artifact: MakeArtifact) -> None:
    encoder = bertc.load(artifact(), num_threads=2)
    expected = np.asarray(encoder.encode(TEXTS))
    results: list[Any] = [None] * 6

    def work(index: int) -> None:
        results[index] = encoder.encode(TEXTS)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(results))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(result, expected) for result in results)


def _encode_in_child(encoder: bertc.Encoder, connection: Any) -> None:
    connection.send(np.asarray(encoder.encode(TEXTS)))


def test_survives_fork(artifact: MakeArtifact) -> None:
    encoder = bertc.load(artifact(), num_threads=2)
    expected = np.asarray(encoder.encode(TEXTS))  # the parent's threads are running
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    child = context.Process(target=_encode_in_child, args=(encoder, theirs))
    child.start()
    assert ours.poll(60), "the child hangs"
    assert np.array_equal(ours.recv(), expected)
    child.join(60)
    assert child.exitcode == 0
    assert np.array_equal(encoder.encode(TEXTS), expected)


def test_a_missing_file_is_an_artifact_error(tmp_path: Any) -> None:
    with pytest.raises(ArtifactError, match=r"nothing.bertc"):
        bertc.load(tmp_path / "nothing.bertc")


def test_a_loaded_model_says_what_it_is(artifact: MakeArtifact) -> None:
    encoder = bertc.load(str(artifact("classification", "int8")), num_threads=1)
    assert "classification" in repr(encoder) and "1 thread" in repr(encoder)
    assert encoder.info.labels == ("negative", "positive")
    assert encoder.artifact.path.name == artifact("classification", "int8").name
