"""A handle loads at first use, and another process loads the same model."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

import bertc
from bertc.errors import ArtifactError, InputError
from bertc.model_handle import ModelHandle
from tests.conftest import MakeArtifact


def test_a_handle_loads_at_first_use_and_pickles_by_its_place(
    artifact: MakeArtifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = artifact()
    monkeypatch.chdir(file.parent)
    handle = ModelHandle(file.name, "embedding", num_threads=1)
    assert "model" not in vars(handle)
    vectors = handle.model.encode(["the cat"])
    assert handle.model.session.num_threads == 1
    monkeypatch.chdir(tmp_path)
    copy = pickle.loads(pickle.dumps(handle))
    assert "model" not in vars(copy) and len(pickle.dumps(handle)) < 1000
    assert np.array_equal(copy.model.encode(["the cat"]), vectors) and copy.model.session.num_threads == 1
    of_loaded = ModelHandle(handle.model, "embedding")
    assert of_loaded.model is handle.model
    assert np.array_equal(pickle.loads(pickle.dumps(of_loaded)).model.encode(["the cat"]), vectors)


def test_a_handle_refuses_models_of_other_tasks(artifact: MakeArtifact) -> None:
    file = artifact("classification")
    handle = ModelHandle(file, "embedding")
    with pytest.raises(InputError, match="for classification: expected one for embedding, which turns texts"):
        _ = handle.model
    with pytest.raises(InputError, match="for classification: expected one for embedding"):
        ModelHandle(bertc.load(file), "embedding")
    with pytest.raises(InputError, match="num_threads: give these where the model is loaded"):
        ModelHandle(bertc.load(file), "classification", num_threads=1)
    with pytest.raises(ArtifactError):
        _ = ModelHandle("absent.bertc", "embedding").model
