"""The tiny models of the pages and tests of other libraries, by the names that the pages have for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import MakeArtifact
from tests.support.artifacts import Artifacts


@pytest.fixture
def models(
    artifacts: Artifacts, artifact: MakeArtifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A folder with minilm.bertc, reranker.bertc and ner.bertc, which the process is in."""
    reranker = artifacts.tiny("fp32", "classification", id2label={"0": "relevance"})
    files = {"minilm": artifact(), "reranker": reranker, "ner": artifact("token_classification")}
    for name, file in files.items():
        (tmp_path / f"{name}.bertc").symlink_to(file)
    monkeypatch.chdir(tmp_path)
    return tmp_path
