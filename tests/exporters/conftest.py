"""A small classifier, and its file with static ranges."""

from __future__ import annotations

from pathlib import Path

import pytest

import bertc
from tests.support.tiny_models import make_bert_checkpoint

STATIC = {"activations": {"mode": "static"}, "calibration": {"samples": 24, "held_out": 4, "max_length": 32}}
DYNAMIC = {"calibration": STATIC["calibration"]}


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bert_checkpoint(tmp_path_factory.mktemp("classifier"), "classification")


@pytest.fixture(scope="module")
def static_file(classifier: Path) -> Path:
    return bertc.compile(classifier, classifier / "static.bertc", STATIC).path
