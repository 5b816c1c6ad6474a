"""Fixtures for all tests: checkpoints and compiled files, made once in a test run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.artifacts import Artifacts

MakeArtifact = Callable[..., Path]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--artifacts",
        type=Path,
        help="where compiled files are kept, and found by a later run of the same code",
    )
    parser.addoption(
        "--door",
        choices=("older", "newer", "module"),
        default="older",
        help="how classes come in tests/frontends/onnx/test_every_class.py: by an exporter of PyTorch, or "
        "as modules; the newer exporter takes three minutes",
    )


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache of this process's own: what tests compile is nobody's model."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BERTC_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def artifacts(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    """Checkpoints and compiled files; the processes of pytest-xdist share them."""
    folder: Path | None = pytestconfig.getoption("--artifacts")
    if folder is None:
        base = tmp_path_factory.getbasetemp()
        folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "artifacts"
    folder.mkdir(parents=True, exist_ok=True)
    return Artifacts(folder.resolve())


@pytest.fixture(scope="session")
def checkpoint(artifacts: Artifacts) -> MakeArtifact:
    """``checkpoint(head)``: the folder of a tiny checkpoint; an embedding model pools by the mean."""

    def make(head: str = "embedding") -> Path:
        return artifacts.tiny_checkpoint(head, pooling="mean" if head == "embedding" else None)

    return make


@pytest.fixture(scope="session")
def artifact(artifacts: Artifacts, checkpoint: MakeArtifact) -> MakeArtifact:
    """``artifact(head, dtype)``: that checkpoint, compiled; see :meth:`Artifacts.compile`."""

    def make(head: str = "embedding", dtype: str = "fp32") -> Path:
        return artifacts.compile(checkpoint(head), dtype)

    return make
