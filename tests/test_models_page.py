"""docs/models.md says what the registry has, and figures as they were measured."""

from __future__ import annotations

import json
from pathlib import Path

import real_models

ROOT = Path(__file__).resolve().parent.parent


def test_the_page_of_models_is_made_of_the_registry() -> None:
    results = json.loads((ROOT / "benchmarks" / "scores" / "models.json").read_text("utf-8"))
    assert (ROOT / "docs" / "models.md").read_text("utf-8") == real_models.page(results)
