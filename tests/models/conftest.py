"""Fixtures for tests of whole models."""

from __future__ import annotations

import pytest

from tests.support.artifacts import Artifacts


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    """Compiled files, each made once in a test run."""
    return Artifacts(tmp_path_factory.mktemp("artifacts"))
