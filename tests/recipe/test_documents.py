"""Where each key of a file is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertc.errors import RecipeError
from bertc.recipe import Recipe
from bertc.recipe.documents import DEPTH, Document, parse_json, parse_yaml

YAML = """\
# a comment
dtype: int8

weights:
  bits: 7
  "clip": max
exclude: [
  a.*
]
nodes: {b: fp32,
  c: bf16}
"""
JSON = '{"dtype": "int8",\n\n "weights": {"a\\u0062c": [{"x": 1}, "\\"}"],\n  "clip": null}, "nodes":\n{}}'


def test_lines_of_yaml() -> None:
    pytest.importorskip("yaml")
    document = parse_yaml(YAML)
    expected = {
        ("dtype",): 2,
        ("weights",): 4,
        ("weights", "bits"): 5,
        ("weights", "clip"): 6,
        ("exclude",): 7,
        ("nodes",): 10,
        ("nodes", "b"): 10,
        ("nodes", "c"): 11,
    }
    assert document.lines == expected
    assert document.values["weights"] == {"bits": 7, "clip": "max"}
    assert document.line_of(("weights", "rounding")) == 4
    assert document.line_of(("budget",)) is None
    assert parse_yaml("# nothing\n") == Document({})


def test_lines_of_json() -> None:
    expected = {("dtype",): 1, ("weights",): 3, ("weights", "abc"): 3, ("weights", "clip"): 4, ("nodes",): 4}
    assert parse_json(JSON).lines == expected
    assert parse_json(" {}\n") == Document({})
    assert parse_json("[1]") == Document([1])


keys = st.text(max_size=4)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(keys, values, max_size=4), st.sampled_from([None, 0, 3]))
def test_every_key_of_any_json_is_found_where_it_is(data: dict[str, Any], indent: int | None) -> None:
    text = json.dumps(data, indent=indent)
    lines = text.split("\n")

    def paths(value: Any, at: tuple[str, ...]) -> Any:
        if isinstance(value, dict) and len(at) < DEPTH:
            for name, inner in value.items():
                yield (*at, name)
                yield from paths(inner, (*at, name))

    found = parse_json(text).lines
    assert set(found) == set(paths(data, ()))
    assert all(json.dumps(path[-1]) in lines[line - 1] for path, line in found.items())


@pytest.mark.parametrize(
    ("text", "parse"), [("a: 1\nb: 2\na: 3\n", parse_yaml), ('{"a": 1,\n"b": 2,\n"a": 3}', parse_json)]
)
def test_a_key_that_is_given_twice_is_a_problem(text: str, parse: Any) -> None:
    pytest.importorskip("yaml")
    (problem,) = parse(text).problems
    assert problem.message == "a is given twice, here and in line 1: remove one"
    assert parse(text).line_of(problem.path) == 3


def test_a_hostile_file_gets_a_short_answer() -> None:
    pytest.importorskip("yaml")
    lines = ["a0: &a0 [x, x]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30))]
    for text in (
        "\n".join([*lines, "dtype: *a29"]),
        "dtype: &a {b: *a}\nweights: *a",
        "weights: &a\n  weights: *a",
    ):
        with pytest.raises(RecipeError) as caught:
            Recipe.from_yaml(text)
        assert len(str(caught.value)) < 4000


@pytest.mark.parametrize("text", ["{", '{"a": 1,}', "[" * 100_000])
def test_broken_json_is_refused(text: str) -> None:
    with pytest.raises(RecipeError, match="not valid JSON"):
        parse_json(text)


@pytest.mark.parametrize("text", ["a: [", "a: 1\n b: 2", "? [a]: 1\n: {", "!!python/object:os.system {}"])
def test_broken_yaml_is_refused(text: str) -> None:
    pytest.importorskip("yaml")
    with pytest.raises(RecipeError, match=r"not valid YAML: .*line"):
        parse_yaml(text)
