"""An empty cache, and a checkpoint to load."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.tiny_models import make_bert_checkpoint


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an empty cache."""
    monkeypatch.setenv("BERTC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make_bert_checkpoint(tmp_path / "tiny", pooling="mean")
