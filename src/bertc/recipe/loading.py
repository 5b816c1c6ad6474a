"""Reads recipes, and says of each problem in which line it is. All problems at once."""

from __future__ import annotations

import dataclasses
import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from bertc.errors import MissingExtraError, RecipeError
from bertc.recipe import keys
from bertc.recipe.keys import Problem, raise_problems, rule_of

T = TypeVar("T")


@dataclass(frozen=True)
class Document:
    """What a file says, before it is checked."""

    values: Any
    lines: Mapping[keys.Path, int] = field(default_factory=dict)
    """Where each key is, from 1; nothing is known of values that come from no file."""


def build(cls: type[T], document: Document) -> T:
    """The recipe of a document. Raises ``RecipeError`` with every problem."""
    raise_problems(list(problems(cls, document)))
    return cls(**document.values)


def problems(cls: type, document: Document) -> list[Problem]:
    """Everything that is wrong, in the order of the lines."""
    values = document.values
    if not isinstance(values, Mapping):
        raise RecipeError(f"a recipe must be a mapping of keys to values, found {type(values).__name__}")
    return [*_unknown_keys(cls, values), *keys.wrong_values(cls, values)]


def read(path: Path) -> Document:
    """The document of a ``.json``, ``.yaml`` or ``.yml`` file."""
    readers = {".json": parse_json, ".yaml": parse_yaml, ".yml": parse_yaml}
    if path.suffix not in readers:
        raise RecipeError(f"a recipe file ends in {', '.join(readers)}")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"the recipe cannot be read: {error}") from None
    return readers[path.suffix](text)


def parse_json(text: str) -> Document:
    """The document of a JSON text."""
    try:
        return Document(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise RecipeError(f"the recipe is not valid JSON: {error}") from None


def parse_yaml(text: str) -> Document:
    """The document of a YAML text (extra "yaml"); an empty one is an empty mapping."""
    try:
        import yaml
    except ImportError:
        raise MissingExtraError("pyyaml", "yaml", "reading a YAML recipe") from None
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"the recipe is not valid YAML: {error}") from None
    return Document({} if values is None else values)


def _unknown_keys(cls: type, values: Mapping[str, Any], at: keys.Path = ()) -> Iterator[Problem]:
    fields = {each.name: each for each in dataclasses.fields(cls)}
    for name, value in values.items():
        path = (*at, str(name))
        if name not in fields:
            nearest = difflib.get_close_matches(str(name), fields, n=1, cutoff=0.0)[0]
            message = f"unknown key {'.'.join(path)!r}, did you mean {'.'.join((*at, nearest))!r}?"
            yield Problem(path, message)
            continue
        nested = rule_of(fields[name]).section
        if nested is not None and isinstance(value, Mapping):
            yield from _unknown_keys(nested, value, path)
