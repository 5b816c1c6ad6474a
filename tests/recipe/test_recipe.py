from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from bertc.errors import MissingExtraError, RecipeError
from bertc.recipe import ActivationScheme, Budget, Observer, Parts, Recipe, WeightScheme
from bertc.recipe.presets import PRESETS

CUSTOM = Recipe(dtype="bf16", embeddings="fp32", exclude=("pooler.*", "encoder.layer.0.*"))
RICH = Recipe(
    weights=WeightScheme(bits=7),
    activations=ActivationScheme(
        mode="static", granularity="per_channel_group", observer=Observer(kind="topk")
    ),
    parts=Parts(ffn="bf16"),
    nodes={"pooler.*": "fp32"},
    budget=Budget(max_drop=0.001),
)


def test_the_default_recipe_is_int8_throughout() -> None:
    assert Recipe() == Recipe(version=1, dtype="int8", embeddings=None, exclude=())


def test_weights_of_seven_bits_make_another_layer_dtype_of_int8_alone() -> None:
    seven = WeightScheme(bits=7)
    assert Recipe().layer_dtype == "int8" and Recipe(weights=seven).layer_dtype == "int7"
    with pytest.raises(RecipeError, match=r"weights\.bits 7 does not go with dtype bf16"):
        Recipe(dtype="bf16", weights=seven)


@pytest.mark.parametrize(("dtype", "embeddings"), [("fp32", "fp32"), ("bf16", "fp16"), ("int8", "int8")])
def test_embeddings_follow_the_dtype_unless_they_are_given(dtype: str, embeddings: str) -> None:
    assert Recipe(dtype=dtype).embedding_dtype == embeddings
    assert Recipe(dtype=dtype, embeddings="fp32").embedding_dtype == "fp32"


@pytest.mark.parametrize("recipe", [Recipe(), CUSTOM, RICH])
def test_round_trips(recipe: Recipe) -> None:
    yaml = pytest.importorskip("yaml")
    assert Recipe.from_dict(recipe.to_dict()) == recipe
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert Recipe.from_yaml(yaml.safe_dump(recipe.to_dict())) == recipe


def test_load_takes_files_mappings_recipes_and_nothing(tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    (tmp_path / "r.json").write_text(CUSTOM.to_json())
    (tmp_path / "r.yaml").write_text(
        "dtype: bf16\nembeddings: fp32\nexclude: ['pooler.*', 'encoder.layer.0.*']\n"
    )
    (tmp_path / "empty.yml").write_text("# all defaults\n")
    assert Recipe.load(tmp_path / "r.json") == CUSTOM
    assert Recipe.load(str(tmp_path / "r.yaml")) == CUSTOM
    assert Recipe.load(tmp_path / "empty.yml") == Recipe()
    assert Recipe.load({"dtype": "fp32"}) == Recipe(dtype="fp32")
    assert Recipe.load(CUSTOM) is CUSTOM
    assert Recipe.load(None) == Recipe()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"dtype": "int4"}, "dtype is 'int4', expected one of fp32, bf16, int8"),
        ({"dtype": ["int8"]}, r"dtype is \['int8'\]"),
        ({"embeddings": "bf16"}, "embeddings is 'bf16', expected one of fp32, fp16, int8"),
        (
            {"activations": {"mod": "static"}},
            "unknown key 'activations.mod', did you mean 'activations.mode'",
        ),
        ({"weights": 8}, "weights is 8, expected a section with some of the keys granularity, bits"),
        ({"weights": {"bits": 4}}, "weights.bits is 4, expected one of 8, 7"),
        ({"budget": {"max_drop": "120%"}}, "budget.max_drop is '120%', expected a number from 0 to 1"),
        ({"activations": {"observer": {}}}, "observer does not go with mode dynamic"),
        ({"weights": {"bits": True}}, "weights.bits is True, expected one of 8, 7"),
        ({"exclude": "pooler"}, "exclude is 'pooler', expected a list"),
        ({"exclude": [1]}, r"exclude is \[1\]"),
        ({"version": 2}, "version 2 is newer .* upgrade"),
        ({"version": "1"}, "version is '1', expected a whole number"),
        ({"excludes": []}, "unknown key 'excludes', did you mean 'exclude'"),
        ({"dtpye": "int8", "embeddings": 3}, "unknown key 'dtpye', did you mean 'dtype'.*; embeddings is 3"),
        ([], "must be a mapping"),
    ],
)
def test_every_problem_is_listed(data: Any, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Recipe.from_dict(data)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_recipes(name: str) -> None:
    assert Recipe.load(name).to_dict() == Recipe.from_dict(Recipe.load(name).to_dict()).to_dict()


def test_a_column_may_be_given_by_its_number() -> None:
    """YAML takes ``column: 5`` for a number, as people do."""
    recipe = Recipe(calibration={"data": "a.tsv", "column": 5, "pair_column": 0})
    assert (recipe.calibration.column, recipe.calibration.pair_column) == ("5", "0")
    assert Recipe.from_json(recipe.to_json()) == recipe
    for wrong in (-1, 1.5, True, ""):
        with pytest.raises(RecipeError, match="expected a name or a number from 0"):
            Recipe(calibration={"data": "a.tsv", "column": wrong})


def test_a_drop_may_be_given_in_percent() -> None:
    assert Recipe.from_dict({"budget": {"max_drop": "0.1%"}}).budget == Budget(max_drop=0.001)


def test_activations_follow_their_mode_unless_more_is_given() -> None:
    assert ActivationScheme().granularity == "per_token" and ActivationScheme().observer is None
    static = ActivationScheme(mode="static")
    assert static.granularity == "per_tensor" and static.observer == Observer()
    assert ActivationScheme(mode="static", granularity="per_channel_group").group_size == 64


def test_the_constructor_validates_too() -> None:
    with pytest.raises(RecipeError, match=r"dtype is 'x'.*; embeddings is 'y'"):
        Recipe(dtype="x", embeddings="y")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("r.json", b"{", "r.json: the recipe is not valid JSON"),
        ("r.yaml", b"a: [", "r.yaml: the recipe is not valid YAML"),
        ("r.yaml", b"- a", "r.yaml: a recipe must be a mapping"),
        ("r.toml", b"", "a recipe file ends in .json, .yaml, .yml"),
        ("r.json", b"\xff", "cannot be read"),
        ("r.json", None, "cannot be read"),
    ],
)
def test_files_that_are_no_recipes_are_refused(
    name: str, content: bytes | None, message: str, tmp_path: Path
) -> None:
    pytest.importorskip("yaml")
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(RecipeError, match=message):
        Recipe.load(tmp_path / name)


def test_without_the_yaml_package_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(MissingExtraError, match=r'pip install "bertc\[yaml\]"'):
        Recipe.from_yaml("dtype: int8")
