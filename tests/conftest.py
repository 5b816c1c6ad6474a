"""Fixtures for tests of the run half: tiny checkpoints, compiled once per test session."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.support.tiny_models import make_bert_checkpoint

MakeArtifact = Callable[..., Path]


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> MakeArtifact:
    """``checkpoint(head)``: the folder of a tiny checkpoint, the same for every caller."""

    @cache
    def make(head: str = "embedding") -> Path:
        pooling = "mean" if head == "embedding" else None
        return make_bert_checkpoint(tmp_path_factory.mktemp("checkpoint") / head, head, pooling=pooling)

    return make


@pytest.fixture(scope="session")
def artifact(checkpoint: MakeArtifact, tmp_path_factory: pytest.TempPathFactory) -> MakeArtifact:
    """``artifact(head, dtype)``: that checkpoint, compiled. Do not write to the file.

    "int7" is int8 by the preset "avx2".
    """

    @cache
    def make(head: str = "embedding", dtype: str = "fp32") -> Path:
        import bertc

        path = tmp_path_factory.mktemp("artifact") / f"{head}.{dtype}.bertc"
        if dtype == "int7":
            bertc.compile(checkpoint(head), path, "avx2")
        else:
            bertc.compile(checkpoint(head), path, dtype=dtype)
        return path

    return make
