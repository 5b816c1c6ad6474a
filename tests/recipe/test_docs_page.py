"""The page on recipes shows recipes that are valid, and names every key and preset."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bertc.recipe import Recipe
from bertc.recipe.hints import all_keys
from bertc.recipe.presets import PRESETS
from bertc.recipe.schema import FORMATS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "recipes.md").read_text("utf-8")


def test_its_recipes_are_valid() -> None:
    pytest.importorskip("yaml")
    blocks = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        Recipe.from_yaml(block)


def test_it_names_every_choice() -> None:
    missing = [".".join(path) for path in all_keys(Recipe) if not re.search(rf"\b{path[-1]}\b", PAGE)]
    assert not missing
    assert all(f"`{name}`" in PAGE for name in (*PRESETS, *FORMATS))
