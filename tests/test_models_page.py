"""docs/models.md says what the registry has, and figures as they were measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import real_models

ROOT = Path(__file__).resolve().parent.parent


def test_the_page_of_models_is_made_of_the_registry() -> None:
    results = json.loads((ROOT / "benchmarks" / "scores" / "models.json").read_text("utf-8"))
    assert (ROOT / "docs" / "models.md").read_text("utf-8") == real_models.page(results)


def test_every_masked_lm_of_transformers_compiles_or_is_listed_with_a_reason() -> None:
    auto = pytest.importorskip("transformers.models.auto.modeling_auto")
    listed = {name for names in real_models.NOT_SUPPORTED.values() for name in names}
    compiled = real_models.masked_lms()
    assert {*auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES} == listed | compiled and not listed & compiled
