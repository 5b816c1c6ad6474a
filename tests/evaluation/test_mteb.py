"""Our models run the tasks of mteb; with the package itself where it is installed."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bertc
from bertc.errors import InputError, MissingExtraError
from bertc.evaluation.mteb import CrossEncoderForMteb, EmbedderForMteb, as_mteb_model
from tests.conftest import MakeArtifact

BATCHES = [{"text": ["the cat", "a good film"]}, {"text": ["one two"]}]
TEXTS = ["the cat", "a good film", "one two"]


class PromptType(str, Enum):
    query = "query"
    document = "document"


def test_batches_are_embedded_with_the_prompts_of_their_kind(artifact: MakeArtifact) -> None:
    torch = pytest.importorskip("torch")
    model = bertc.load(artifact())
    assert isinstance(model, bertc.Embedder)
    adapter = EmbedderForMteb(model, None)
    options = {"task_metadata": None, "hf_split": "test", "hf_subset": "default", "batch_size": 32}
    vectors = adapter.encode(BATCHES, **options)
    assert np.array_equal(vectors, model.encode(TEXTS))
    assert np.array_equal(
        adapter.encode(BATCHES, prompt_type=PromptType.query, **options), model.encode_query(TEXTS)
    )
    assert np.array_equal(
        adapter.encode(BATCHES, prompt_type=PromptType.document, **options), model.encode_document(TEXTS)
    )
    assert isinstance(adapter.similarity(vectors, vectors), torch.Tensor)
    assert adapter.similarity_pairwise(vectors, vectors).tolist() == pytest.approx([1, 1, 1])


def test_pairs_of_batches_are_scored(artifact: MakeArtifact) -> None:
    model = bertc.load(artifact("classification"))
    found = CrossEncoderForMteb(model, None).predict(BATCHES, BATCHES[::-1], task_metadata=None)
    assert np.array_equal(found, model.predict([*zip(TEXTS, [TEXTS[2], *TEXTS[:2]], strict=True)]))


def test_a_missing_package_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mteb", None)
    monkeypatch.setitem(sys.modules, "mteb.models", None)
    with pytest.raises(MissingExtraError, match=r"bertc\[mteb\]"):
        as_mteb_model(None)


def test_a_task_of_mteb_runs(artifact: MakeArtifact, tmp_path: Path) -> None:
    mteb: Any = pytest.importorskip("mteb")
    tasks: Any = pytest.importorskip("mteb.mocks.mock_tasks")
    model = as_mteb_model(bertc.load(artifact()))
    assert model.mteb_model_meta.name.startswith("bertc/")
    result = mteb.evaluate(model, tasks.MockSTSTask(), cache=None, prediction_folder=tmp_path)
    assert -1 <= result.task_results[0].get_score() <= 1
    with pytest.raises(InputError, match="no embedder and no cross-encoder"):
        as_mteb_model(bertc.load(artifact("token_classification")))
