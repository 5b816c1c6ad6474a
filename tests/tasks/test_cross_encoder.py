"""``predict`` and ``rank`` of tiny models of both families, equal to those of sentence-transformers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bertc
from bertc.errors import CheckpointError, InputError
from bertc.frontends.huggingface import import_model
from tests.support.artifacts import Artifacts
from tests.support.hf_checkpoints import save_with_tokenizer
from tests.support.multilingual import SENTENCES, TEXTS
from tests.support.pipelines import quiet_on_one_thread
from tests.support.tiny_models import write_json

pytestmark = pytest.mark.filterwarnings("ignore::bertc.TruncationWarning")

torch = pytest.importorskip("torch")
sentence_transformers = pytest.importorskip("sentence_transformers")

TOLERANCE = 1e-4
PAIRS = list(pairwise([*TEXTS, TEXTS[0]]))
TORCH = "torch.nn.modules"


@pytest.fixture(autouse=True)
def _quiet_on_one_thread() -> Iterator[None]:
    with quiet_on_one_thread():
        yield


def save(path: Path, family: str = "Bert", labels: int = 1, **config: Any) -> Path:
    save_with_tokenizer(path, f"{family}ForSequenceClassification", num_labels=labels)
    return edit(path / "config.json", **config)


def edit(file: Path, **changes: Any) -> Path:
    """Change a JSON file; returns its folder."""
    write_json(file, {**json.loads(file.read_text()), **changes})
    return file.parent


def both(path: Path, artifacts: Artifacts) -> tuple[Any, Any]:
    """The model of a folder by sentence-transformers, and compiled in fp32."""
    return sentence_transformers.CrossEncoder(str(path), device="cpu"), bertc.load(
        artifacts.compile(path, "fp32")
    )


def assert_close(found: Any, expected: Any) -> None:
    assert np.shape(found) == np.shape(expected)
    assert np.abs(np.asarray(found) - np.asarray(expected)).max(initial=0) <= TOLERANCE


@pytest.mark.parametrize("labels", [1, 3])
@pytest.mark.parametrize("family", ["Bert", "Roberta"])
def test_predict_equals_sentence_transformers(
    artifacts: Artifacts, family: str, labels: int, tmp_path: Path
) -> None:
    theirs, ours = both(save(tmp_path / f"{family}{labels}", family, labels), artifacts)
    found = ours.predict(PAIRS)
    assert found.dtype == np.float32
    assert_close(found, theirs.predict(PAIRS))
    assert_close(ours.predict(list(PAIRS[0])), theirs.predict(list(PAIRS[0])))
    assert_close(
        ours.predict(sentences=PAIRS[:3], apply_softmax=True), theirs.predict(PAIRS[:3], apply_softmax=True)
    )
    for name, module in (("none", torch.nn.Identity()), ("sigmoid", torch.nn.Sigmoid())):
        wanted = theirs.predict(PAIRS[:9], activation_fn=module)
        assert_close(ours.predict(PAIRS[:9], activation_fn=name), wanted)
        assert_close(ours.predict(PAIRS[:9], activation_fct=module), wanted)
    as_list = ours.predict(PAIRS[:3], convert_to_numpy=False)
    assert isinstance(as_list, list) and np.array_equal(as_list, found[:3])
    assert len(ours.predict([])) == len(theirs.predict([])) == 0


@pytest.mark.parametrize("family", ["Bert", "Roberta"])
def test_rank_equals_sentence_transformers(artifacts: Artifacts, family: str, tmp_path: Path) -> None:
    folder = tmp_path / f"{family}-rank"
    save_with_tokenizer(
        folder, f"{family}ForSequenceClassification", num_labels=1, max_position_embeddings=1100
    )
    theirs, ours = both(folder, artifacts)
    for documents, options in (
        (list(TEXTS), {"return_documents": True}),
        (list(SENTENCES), {"top_k": 3}),
        (list(SENTENCES), {"top_k": 99, "activation_fn": torch.nn.Identity()}),
    ):
        found = ours.rank(TEXTS[0], documents, **options)
        expected = theirs.rank(TEXTS[0], documents, **options)
        assert_close([each.pop("score") for each in found], [each.pop("score") for each in expected])
        assert found == expected
    assert ours.rank("a query", []) == theirs.rank("a query", []) == []


STATED: dict[str, dict[str, Any]] = {
    "nothing": {},
    "identity": {"sentence_transformers": {"activation_fn": f"{TORCH}.linear.Identity"}},
    "older": {"sbert_ce_default_activation_function": f"{TORCH}.linear.Identity"},
    "tanh": {"sentence_transformers": {"activation_fn": f"{TORCH}.activation.Tanh", "version": "4.1.0"}},
    "newer wins": {
        "sentence_transformers": {"activation_fn": f"{TORCH}.activation.Tanh"},
        "sbert_ce_default_activation_function": f"{TORCH}.linear.Identity",
    },
    "null": {
        "sentence_transformers": {"activation_fn": None},
        "sbert_ce_default_activation_function": f"{TORCH}.linear.Identity",
    },
}


@pytest.mark.parametrize("stated", STATED)
def test_the_checkpoint_says_what_is_put_on_the_logits(
    artifacts: Artifacts, stated: str, tmp_path: Path
) -> None:
    theirs, ours = both(save(tmp_path / stated.replace(" ", "-"), **STATED[stated]), artifacts)
    assert_close(ours.predict(PAIRS[:9]), theirs.predict(PAIRS[:9]))
    # The pipeline knows nothing of it: one label gets a sigmoid.
    (label,) = ours.classify(PAIRS[:1])
    assert_close(label["score"], ours.predict(PAIRS[0], activation_fn="sigmoid"))


def test_a_folder_that_sentence_transformers_saved(artifacts: Artifacts, tmp_path: Path) -> None:
    model = sentence_transformers.CrossEncoder(
        str(save(tmp_path / "plain")), device="cpu", activation_fn=torch.nn.Identity()
    )
    folder = tmp_path / "saved-by-version-6"
    model.save_pretrained(str(folder))
    assert (folder / "modules.json").exists()
    assert_close(both(folder, artifacts)[1].predict(PAIRS[:9]), model.predict(PAIRS[:9]))


def test_an_activation_that_is_not_known(tmp_path: Path) -> None:
    path = save(
        tmp_path / "model", sentence_transformers={"activation_fn": "torch.nn.modules.activation.GLU"}
    )
    with pytest.raises(CheckpointError, match="GLU' is not supported, only Identity, Sigmoid, Softmax, Tanh"):
        import_model(path)
    edit(path / "config.json", sentence_transformers={"activation_fn": "mine.Function"})
    with pytest.warns(UserWarning, match="'mine.Function' is not PyTorch's"):
        assert "activation_fn" not in import_model(path).info.facts


@pytest.fixture(scope="module")
def cross_encoder(artifacts: Artifacts) -> Any:
    """A model of one label."""
    folder = artifacts.derived("cross-encoder", save)
    return bertc.load(artifacts.compile(folder, "fp32"))


def test_functions_of_the_caller(cross_encoder: Any) -> None:
    raw = cross_encoder.predict(PAIRS[:3], activation_fn="none")
    assert np.array_equal(cross_encoder.predict(PAIRS[:3], activation_fn=lambda x: -x), -raw)


@pytest.mark.parametrize(
    ("method", "arguments", "message"),
    [
        ("predict", {}, "inputs, or sentences"),
        ("predict", {"inputs": ["a", "b"], "sentences": ["a", "b"]}, "inputs, or sentences"),
        ("predict", {"inputs": ["a", "b", "c"]}, "inputs is a list of 3"),
        ("predict", {"inputs": ["a", "b"], "activation_fn": "gelu"}, "the activation is 'gelu'"),
        ("predict", {"inputs": ["a", "b"], "activation_fn": 3}, "the activation is int"),
        ("predict", {"inputs": ["a", "b"], "activation_fn": np.sum}, "the activation makes shape"),
        ("predict", {"inputs": ["a", "b"], "activation_fn": "none", "activation_fct": "none"}, "pass one"),
        ("predict", {"inputs": ["a", "b"], "batch_size": 0}, "batch_size is 0"),
        ("rank", {"query": ["a"], "documents": ["b"]}, "query is list"),
        ("rank", {"query": "a", "documents": "b"}, "documents are str"),
        ("rank", {"query": "a", "documents": ["b", 3]}, r"documents\[1\] is int"),
        ("rank", {"query": "a", "documents": ["b"], "top_k": 0}, "top_k is 0"),
    ],
)
def test_wrong_arguments_are_refused(
    cross_encoder: Any, method: str, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        getattr(cross_encoder, method)(**arguments)


def test_rank_needs_one_label(artifacts: Artifacts) -> None:
    with pytest.raises(InputError, match="has 2: use predict"):
        bertc.load(artifacts.tiny("fp32", "classification")).rank("a", ["b"])
