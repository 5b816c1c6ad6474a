"""The file that a recipe is written to explains every key, and is read back as the same recipe."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertc.recipe import ActivationScheme, Budget, Recipe
from bertc.recipe.hints import all_keys
from bertc.recipe.presets import PRESETS
from bertc.recipe.template import WIDTH, spell, to_yaml

yaml = pytest.importorskip("yaml")


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_written_and_read_back(name: str) -> None:
    recipe = Recipe.load(name)
    text = to_yaml(recipe, PRESETS[name].doc)
    assert Recipe.from_yaml(text) == recipe
    assert text.startswith("# ") and max(map(len, text.splitlines())) <= WIDTH


def test_every_key_is_there_under_a_comment() -> None:
    lines = to_yaml(Recipe()).splitlines()
    for path in all_keys(Recipe):
        at = [
            i
            for i, line in enumerate(lines)
            if line.replace("#", " ").lstrip().startswith(f"{path[-1]}:") and lines[i - 1].strip()[:1] == "#"
        ]
        assert at, path


def test_absent_sections_need_only_be_uncommented() -> None:
    text = to_yaml(Recipe())
    start = text.index("budget: null\n")
    opened = text[start:].replace("budget: null\n", "").replace("# ", "", 1)
    body = "\n".join(line.removeprefix("# ") for line in opened.splitlines())
    assert Recipe.from_yaml(text[:start] + body) == Recipe(budget=Budget())
    assert "# observer:" in text and "# observer:" not in to_yaml(
        Recipe(activations=ActivationScheme(mode="static"))
    )


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(values)
def test_any_value_is_spelled_so_that_yaml_reads_it_back(value: Any) -> None:
    text = spell(value)
    assert "\n" not in text
    assert yaml.safe_load(f"key: {text}") == {"key": value}
