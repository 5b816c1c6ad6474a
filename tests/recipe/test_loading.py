"""Everything that is wrong with a recipe is said at once, each with its line and what to write instead."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bertc.errors import RecipeError
from bertc.recipe import Recipe

WRONG = """\
dtpye: int8
weights:
  bits: 6
  roundng: gptq
activations:
  mode: dynamic
  observer:
    kind: percentile
    percentile: 0.999
calibration:
  samples: 0
percentile: 99.9
dtype: bf16
"""


def problems_of(text: str) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        Recipe.from_yaml(text)
    head, _, rest = str(caught.value).partition(": ")
    assert head == "invalid recipe"
    return rest.split("; line ")


def test_all_problems_at_once_in_the_order_of_the_lines() -> None:
    pytest.importorskip("yaml")
    found = problems_of(WRONG)
    expected = [
        "line 1: unknown key 'dtpye', did you mean 'dtype'?",
        "3: weights.bits is 6, expected one of 8, 7",
        "4: unknown key 'weights.roundng', did you mean 'weights.rounding'?",
        "7: activations.observer does not go with mode dynamic",
        "9: activations.observer.percentile is 0.999, expected a number above 50 and up to 100 percent",
        "11: calibration.samples is 0, expected a whole number from 1",
        "12: unknown key 'percentile', did you mean 'activations.observer.percentile'?",
    ]
    assert len(found) == len(expected)
    assert all(text.startswith(start) for text, start in zip(found, expected, strict=True))


def test_the_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text('{\n "weights": {"bits": 7},\n "dtype": "bf16"\n}')
    with pytest.raises(RecipeError, match=r"r\.json: invalid recipe: line 2: weights\.bits 7 does not go"):
        Recipe.load(path)


def test_a_wrong_value_hides_only_what_depends_on_it() -> None:
    data = {
        "activations": {"mode": "sttic", "granularity": "per_tensor", "group_size": 8},
        "parts": {"embeddings": "fp32"},
        "embeddings": "int8",
    }
    with pytest.raises(RecipeError) as caught:
        Recipe.from_dict(data)
    assert "activations.mode is 'sttic'" in str(caught.value)
    assert "parts.embeddings fp32 contradicts embeddings int8" in str(caught.value)
    assert "per_tensor" not in str(caught.value) and "group_size" not in str(caught.value)


def test_from_python_no_lines_are_told() -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe.from_dict({"weights": {"bits": 5}, "dtyp": 1})
    assert "line" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "hint"),
    [
        ({"excluded": []}, "exclude"),
        ({"activations": {"granularty": 1}}, "activations.granularity"),
        ({"samples": 10}, "calibration.samples"),
        ({"weights": {"max_length": 3}}, "calibration.max_length"),
        ({"calibrate_mode": "kl_divergence"}, "activations.observer.kind"),
        ({"calibration": {"get_data_num": 10}}, "calibration.samples"),
        ({"exclude_layers": [3]}, "exclude"),
        ({"budget": {"zzz": 1}}, "budget.metric"),
        ({3: 1}, "weights"),
    ],
)
def test_the_nearest_key_may_be_elsewhere_or_have_another_name(data: dict[Any, Any], hint: str) -> None:
    with pytest.raises(RecipeError, match=f"unknown key '.*', did you mean '{hint}'"):
        Recipe.from_dict(data)


def test_round_trip_keeps_every_key() -> None:
    recipe = Recipe()
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert json.loads(recipe.to_json())["activations"]["granularity"] == "per_token"
