"""Every decision that has an effect is explained, and no other."""

from __future__ import annotations

from typing import Any

import pytest

from bertc.recipe import Recipe
from bertc.recipe.explain import ELSEWHERE, MEANINGS, explain
from bertc.recipe.hints import all_keys
from bertc.recipe.keys import rule_of
from bertc.recipe.presets import PRESETS
from bertc.recipe.schema import METRICS as METRIC_NAMES


def explained(recipe: Recipe) -> dict[str, str]:
    return {each.key: each.value for each in explain(recipe)}


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_explained_in_sentences(name: str) -> None:
    for each in explain(Recipe.load(name)):
        assert each.meaning.endswith(".") and each.meaning[0].isupper() | each.meaning[0].isdigit(), each


def test_every_choice_has_a_meaning() -> None:
    keys = {".".join(path) for path in all_keys(Recipe)}
    assert set(MEANINGS) | set(ELSEWHERE) <= keys
    assert set(MEANINGS["budget.metric"]) == set(METRIC_NAMES)
    for key, meanings in MEANINGS.items():
        cls: Any = Recipe
        *sections, name = key.split(".")
        for section in sections:
            cls = rule_of(cls.__dataclass_fields__[section]).section
        rule = rule_of(cls.__dataclass_fields__[name])
        assert all(rule.accepts(value) for value in meanings), key
        missing = [word for word in rule.expected.removeprefix("one of ").split(", ") if "or " not in word]
        if rule.expected.startswith("one of"):
            assert {str(value) for value in meanings} == set(missing), key


def test_what_has_no_effect_is_left_out() -> None:
    bf16 = explained(Recipe(dtype="bf16"))
    assert not any(key.startswith(("weights", "activations", "smoothing")) for key in bf16)
    assert "calibration.samples" not in bf16 and "calibration.held_out" in bf16
    mixed = explained(Recipe(dtype="bf16", parts={"ffn": "int8"}))
    assert mixed["parts.ffn"] == "int8" and "weights.rounding" in mixed
    assert "activations.observer.kind" not in explained(Recipe())
    plain = explained(Recipe.load("round-to-nearest"))
    assert "calibration.samples" not in plain and plain["calibration"] == "null"


def test_what_is_chosen_is_told() -> None:
    found = explained(
        Recipe.from_dict(
            {
                "activations": {"mode": "static", "observer": {"kind": "percentile", "percentile": 99.9}},
                "smoothing": {"migration": 0.5},
                "exclude": ["pooler.*"],
                "nodes": {"a.b": "bf16"},
                "calibration": {"data": "mine.jsonl", "statistics": "ranges.npz"},
                "budget": {"max_drop": "0.1%"},
            }
        )
    )
    assert found["activations.observer.percentile"] == "99.9"
    assert found["smoothing.migration"] == "0.5"
    assert found["exclude"] == '["pooler.*"]' and found["nodes"] == "{a.b: bf16}"
    assert found["calibration.statistics"] == "ranges.npz" and "calibration.samples" not in found
    assert found["budget.max_drop"] == "0.001"
