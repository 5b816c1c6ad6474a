"""Makes a recipe of what a file says, or tells everything that is wrong with it, line by line."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from os import PathLike
from typing import Any, TypeVar

from bertc.errors import RecipeError
from bertc.home import expand_home
from bertc.recipe import keys
from bertc.recipe.combinations import impossible
from bertc.recipe.documents import Document, read
from bertc.recipe.hints import nearest_key
from bertc.recipe.keys import KeyPath, Problem, rule_of
from bertc.recipe.presets import PRESETS

T = TypeVar("T")


def open_document(source: str | PathLike[str]) -> Document:
    """Return what a recipe file says, or the preset of this name. Raises ``RecipeError``."""
    if str(source) in PRESETS:
        return Document(PRESETS[str(source)].values)
    path = expand_home(source)
    try:
        return read(path)
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from None


def build(cls: type[T], document: Document) -> T:
    """Return the recipe of a document. Raises ``RecipeError`` with every problem and its line."""
    keys.raise_problems(find_problems(cls, document), document.line_of)
    return cls(**document.values)


def find_problems(cls: type, document: Document) -> list[Problem]:
    """Return everything that is wrong with a document, in the order of the lines.

    Unknown keys and such that are given twice, values that are not accepted, impossible combinations.
    """
    values = document.values
    if not isinstance(values, Mapping):
        raise RecipeError(f"a recipe must be a mapping of keys to values, found {type(values).__name__}")
    found = [*document.problems, *_unknown_keys(cls, cls, values), *keys.wrong_values(cls, values)]
    wrong = {problem.path for problem in found}
    for problem in impossible(_fields(cls, values, wrong)):
        # A combination with a value that is not accepted, and was left out, says nothing.
        if not any(path[:depth] in wrong for path in (problem.path, *problem.reasons) for depth in (1, 2, 3)):
            found.append(problem)
    return sorted(found, key=lambda problem: document.line_of(problem.path) or 0)


def _unknown_keys(root: type, cls: type, values: Mapping[str, Any], at: KeyPath = ()) -> Iterator[Problem]:
    fields = {field.name: field for field in dataclasses.fields(cls)}
    for name, value in values.items():
        path = (*at, str(name))
        if name not in fields:
            hint = ".".join(nearest_key(root, path))
            yield Problem(path, f"unknown key {'.'.join(path)!r}, did you mean {hint!r}?")
            continue
        nested = rule_of(fields[name]).section
        if nested is not None and isinstance(value, Mapping):
            yield from _unknown_keys(root, nested, value, path)


def _fields(cls: type, values: Mapping[str, Any], wrong: set[KeyPath], at: KeyPath = ()) -> dict[str, Any]:
    """Return the fields of a section: what is given and not wrong, else the default."""
    fields = {}
    for field in dataclasses.fields(cls):
        path, nested = (*at, field.name), rule_of(field).section
        if field.name not in values or path in wrong:
            made = field.default_factory
            fields[field.name] = field.default if made is dataclasses.MISSING else made()
        elif nested is not None and isinstance(values[field.name], Mapping):
            fields[field.name] = nested(**_fields(nested, values[field.name], wrong, path))
        else:
            fields[field.name] = values[field.name]
    return fields
