"""all-mpnet-base-v2, a trained model with natural outliers: fp32 and int8 against sentence-transformers."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bertc
from bertc import fidelity
from tests.support.artifacts import Artifacts, best_isa
from tests.support.hf_checkpoints import load_fp32
from tests.support.real_data import join_mpnet, sts_sentences

Array = np.ndarray[Any, Any]


@pytest.fixture(scope="module")
def checkpoint(artifacts: Artifacts) -> Path:
    return artifacts.derived("all-mpnet-base-v2", join_mpnet)


@cache
def _texts() -> list[str]:
    """Sentences from all of the split, and texts that go beyond the farthest bucket of distances."""
    sentences = sts_sentences()
    return [*sentences[::25], " ".join(sentences[:9]), " ".join(sentences[500:530])]


@cache
def _expected(path: Path) -> Array:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    model = sentence_transformers.SentenceTransformer(str(path), device="cpu")
    return np.asarray(model.encode(_texts()))


def test_fp32_equals_sentence_transformers(checkpoint: Path) -> None:
    model: Any = load_fp32(checkpoint)
    found = model.encode(_texts())
    assert fidelity.cosine(found, _expected(checkpoint)).min() >= 0.999999


def test_int8_by_default_stays_close(checkpoint: Path, artifacts: Artifacts) -> None:
    with best_isa():
        path = artifacts.compile(checkpoint, "int8")
    model: Any = bertc.load(path)
    assert fidelity.cosine(model.encode(_texts()), _expected(checkpoint)).mean() >= 0.9990
