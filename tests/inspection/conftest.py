"""A tiny classifier of three layers, inspected."""

from __future__ import annotations

import pytest

import bertc
from bertc.inspection.facts import Inspection
from tests.support.artifacts import Artifacts


@pytest.fixture(scope="session")
def found(artifacts: Artifacts) -> Inspection:
    folder = artifacts.tiny_checkpoint("classification", num_hidden_layers=3)
    return bertc.inspect(folder, batch=2, length=5)
