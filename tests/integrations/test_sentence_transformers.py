"""Our classes beside those of sentence-transformers itself: the same calls give the same answers."""

from __future__ import annotations

import copy
import inspect
import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bertc
from bertc.errors import InputError, MissingExtraError
from bertc.sentence_transformers import CrossEncoder, SentenceTransformer
from tests.conftest import MakeArtifact
from tests.support.artifacts import Artifacts
from tests.support.pipelines import quiet_on_one_thread

st = pytest.importorskip("sentence_transformers")
torch = pytest.importorskip("torch")

TEXTS = ["the cat", "a good film", "one two three four", "hello world"]
PAIRS = [("the cat", "a dog"), ("one", "two three"), ("good film", "bad film")]
PROMPTS = {"query": "the ", "odd": "a good "}
TOLERANCE = 1e-4


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with quiet_on_one_thread():
        yield


def make_both(checkpoint: MakeArtifact, artifact: MakeArtifact) -> tuple[Any, SentenceTransformer]:
    options = {"prompts": PROMPTS, "device": "cpu"}
    return st.SentenceTransformer(str(checkpoint()), **options), SentenceTransformer(artifact(), **options)


@pytest.fixture(scope="module")
def both(checkpoint: MakeArtifact, artifact: MakeArtifact) -> tuple[Any, SentenceTransformer]:
    """The library's model and ours, for tests that change neither."""
    return make_both(checkpoint, artifact)


@pytest.fixture
def both_anew(checkpoint: MakeArtifact, artifact: MakeArtifact) -> tuple[Any, SentenceTransformer]:
    return make_both(checkpoint, artifact)


@pytest.fixture(scope="module")
def both_rerankers(artifacts: Artifacts) -> tuple[Any, CrossEncoder]:
    folder = artifacts.tiny_checkpoint("classification", id2label={"0": "relevance"})
    ours = CrossEncoder(artifacts.compile(folder, "fp32"), max_length=16)
    return st.CrossEncoder(str(folder), device="cpu", max_length=16), ours


def assert_same(found: Any, expected: Any) -> None:
    """Assert the same type, dtype, shape and, closely, values."""
    assert type(found) is type(expected)
    if isinstance(found, list):
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
        return
    assert found.dtype == expected.dtype and found.shape == expected.shape
    assert np.abs(np.asarray(found, np.float32) - np.asarray(expected, np.float32)).max() <= TOLERANCE


@pytest.mark.parametrize(
    "call",
    [
        lambda model: model.encode(TEXTS),
        lambda model: model.encode("the cat"),
        lambda model: model.encode(np.array(TEXTS)),
        lambda model: model.encode([PAIRS[0]]),
        lambda model: model.encode(TEXTS, "odd", None, 2, False),
        lambda model: model.encode(TEXTS, prompt="one ", normalize_embeddings=True, truncate_dim=8),
        lambda model: model.encode(TEXTS, convert_to_tensor=True),
        lambda model: model.encode(TEXTS, convert_to_numpy=False),
        lambda model: model.encode("the cat", convert_to_numpy=False),
        lambda model: model.encode(TEXTS, precision="ubinary"),
        lambda model: model.encode(TEXTS, output_value="token_embeddings"),
        lambda model: model.encode("the cat", output_value="token_embeddings"),
        lambda model: model.encode_query(TEXTS),
        lambda model: model.encode_query(TEXTS, prompt_name="odd", convert_to_tensor=True),
        lambda model: model.encode_document(TEXTS),
        lambda model: model.similarity(model.encode(TEXTS), model.encode(TEXTS, convert_to_tensor=True)),
        lambda model: model.similarity([*model.encode(TEXTS)], model.encode("the cat")),
        lambda model: model.similarity_pairwise(model.encode(TEXTS[:2]), model.encode(TEXTS[2:])),
    ],
)
def test_a_call_gives_what_the_library_gives(both: Any, call: Callable[[Any], Any]) -> None:
    theirs, ours = both
    assert_same(call(ours), call(theirs))


def test_settings_change_what_they_change_there(both_anew: Any) -> None:
    for model in both_anew:
        assert model.get_embedding_dimension() == 32 and str(model.device) == "cpu"
        assert model.prompts == {"document": "", **PROMPTS} and model.to("cpu").eval() is model
        assert model.tokenizer(TEXTS[:2], padding=True)["attention_mask"] == [[1, 1, 1, 1, 0], [1] * 5]
        model.similarity_fn_name = st.SimilarityFunction.DOT_PRODUCT
        assert model.similarity_fn_name == "dot"
        with model.truncate_embeddings(4):
            assert model.encode(TEXTS).shape == (4, 4) and model.get_embedding_dimension() == 4
        model.max_seq_length = 4
    theirs, ours = both_anew
    with pytest.warns(bertc.TruncationWarning, match="limit of this model"):
        cut = ours.encode(TEXTS)
    assert ours.max_seq_length == ours.get_max_seq_length() == 4
    assert_same(cut, theirs.encode(TEXTS))
    ours.max_seq_length = theirs.max_seq_length = 64
    assert_same(ours.encode(TEXTS), theirs.encode(TEXTS))
    with pytest.raises(InputError, match="takes 1 to 64 tokens"):
        ours.max_seq_length = 65


def test_pools_and_lists_of_devices_change_nothing(both: Any) -> None:
    _, ours = both
    pool = ours.start_multi_process_pool(["cpu", "cpu"])
    assert np.array_equal(ours.encode(TEXTS, pool=pool, chunk_size=2), ours.encode(TEXTS))
    assert np.array_equal(ours.encode(TEXTS, device=["cpu", torch.device("cpu")]), ours.encode(TEXTS))
    assert np.array_equal(ours.encode_multi_process(TEXTS, pool), ours.encode(TEXTS))
    ours.stop_multi_process_pool(pool)


def test_the_library_takes_our_classes_for_its_own(both: Any, both_rerankers: Any, tmp_path: Path) -> None:
    _, ours = both
    assert isinstance(ours, st.SentenceTransformer) and isinstance(ours, SentenceTransformer)
    assert isinstance(both_rerankers[1], st.CrossEncoder)
    assert not isinstance(both_rerankers[1], st.SentenceTransformer)
    from sentence_transformers.sentence_transformer.evaluation import EmbeddingSimilarityEvaluator

    evaluator = EmbeddingSimilarityEvaluator(TEXTS[:3], TEXTS[1:], [0.1, 0.5, 0.9], write_csv=False)
    assert ours.evaluate(evaluator, str(tmp_path)) == pytest.approx(both[0].evaluate(evaluator), abs=1e-3)
    found = st.util.semantic_search(ours.encode(TEXTS[:1]), ours.encode(TEXTS), top_k=1)
    assert found[0][0]["corpus_id"] == 0


def test_a_model_is_copied_with_its_settings(both_anew: Any) -> None:
    _, ours = both_anew
    ours.max_seq_length, ours.truncate_dim = 32, 16
    for twin in (pickle.loads(pickle.dumps(ours)), copy.deepcopy(ours)):
        assert type(twin) is SentenceTransformer and twin.max_seq_length == 32
        assert np.array_equal(twin.encode(TEXTS, "odd"), ours.encode(TEXTS, "odd"))


@pytest.mark.parametrize(
    "call",
    [
        lambda model: model.predict(PAIRS),
        lambda model: model.predict([*PAIRS[0]]),
        lambda model: model.predict(PAIRS, prompt="one ", convert_to_tensor=True),
        lambda model: model.predict(PAIRS, convert_to_numpy=False, activation_fn=torch.nn.Identity()),
        lambda model: model.predict(PAIRS[0], convert_to_tensor=True),
        lambda model: np.array([row["score"] for row in model.rank("the cat", TEXTS, 2, prompt="one ")]),
    ],
)
def test_a_pair_is_scored_as_there(both_rerankers: Any, call: Callable[[Any], Any]) -> None:
    theirs, ours = both_rerankers
    assert_same(call(ours), call(theirs))


def test_documents_are_ranked_as_there(both_rerankers: Any) -> None:
    theirs, ours = both_rerankers
    ranked = [model.rank("the cat", TEXTS, return_documents=True) for model in (theirs, ours)]
    assert [(row["corpus_id"], row["text"]) for row in ranked[0]] == [
        (row["corpus_id"], row["text"]) for row in ranked[1]
    ]
    for model in (theirs, ours):
        assert model.num_labels == 1 and model.max_seq_length == 16
        assert model.config.id2label == {0: "relevance"}


@pytest.mark.parametrize(
    ("ours", "theirs"), [(SentenceTransformer, "SentenceTransformer"), (CrossEncoder, "CrossEncoder")]
)
def test_parameters_stand_in_the_same_places(ours: Any, theirs: str) -> None:
    for method in ("encode", "predict", "rank"):
        if hasattr(ours, method):
            wanted = [*inspect.signature(getattr(getattr(st, theirs), method)).parameters.values()]
            found = [*inspect.signature(getattr(ours, method)).parameters.values()]
            names = [each.name for each in wanted if each.kind is not each.VAR_KEYWORD]
            assert [each.name for each in found][: len(names)] == names


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "cuda"}, "device is 'cuda': a compiled model runs on the processor"),
        ({"backend": "onnx"}, "backend has no meaning for a compiled model: .* runs on bertc's own"),
        ({"trust_remote_code": True}, "bertc runs no code"),
        ({"similarity_fn_name": "maxsim"}, "expected one of cosine, dot, euclidean, manhattan"),
        ({"default_prompt_name": "absent"}, "prompt_name is 'absent': expected one of 'query'"),
    ],
)
def test_what_has_no_meaning_is_refused(artifact: MakeArtifact, options: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        SentenceTransformer(artifact(), **options)


def test_calls_that_have_no_meaning_are_refused(both: Any, artifact: MakeArtifact) -> None:
    _, ours = both
    for options in (
        {"device": "cuda:1"},
        {"processing_kwargs": {}},
        {"output_value": None},
        {"prompt_name": "x"},
    ):
        with pytest.raises(InputError):
            ours.encode(TEXTS, **options)
    with pytest.raises(InputError, match="expected a compiled file"):
        SentenceTransformer()
    with pytest.raises(TypeError, match="'modle'"):
        SentenceTransformer(artifact(), modle=1)
    with pytest.raises(InputError, match="expected one for classification"):
        CrossEncoder(artifact())
    with pytest.raises(AttributeError, match="'SentenceTransformer' of a compiled model has no 'fit'"):
        ours.fit()


def test_tensors_alone_need_torch(artifact: MakeArtifact, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = SentenceTransformer(artifact())
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "sentence_transformers")
    assert type(ours.encode(TEXTS)) is np.ndarray and ours.__class__ is SentenceTransformer
    for call in (
        lambda: ours.similarity([[1.0]], [[1.0]]),
        lambda: ours.encode(TEXTS, convert_to_tensor=True),
    ):
        with pytest.raises(MissingExtraError, match=r"bertc\[torch\]"):
            call()
