"""Reads recipe files, and tells in which line each key is. JSON, and YAML with the extra "yaml"."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bertc.errors import MissingExtraError, RecipeError
from bertc.recipe.keys import KeyPath, Problem
from bertc.recipe.presets import PRESETS

DEPTH = 4
"""Sections are no deeper than this; of anything deeper, no lines are known."""


@dataclass(frozen=True)
class Document:
    """What a recipe says, before it is checked."""

    values: Any
    lines: Mapping[KeyPath, int] = field(default_factory=dict)
    """The line of each key, from 1; empty for values that come from no file."""
    problems: tuple[Problem, ...] = ()
    """The keys that are given twice."""

    def line_of(self, path: KeyPath) -> int | None:
        """Return the line of the key; if it is not there, that of its section."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path)


def read(path: Path) -> Document:
    """Return the document of a ``.json``, ``.yaml`` or ``.yml`` file."""
    readers = {".json": parse_json, ".yaml": parse_yaml, ".yml": parse_yaml}
    if path.suffix not in readers:
        raise RecipeError(
            f"a recipe file ends in {', '.join(readers)}; without a file there are {', '.join(PRESETS)}"
        )
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"the recipe cannot be read: {error}") from None
    return readers[path.suffix](text)


def parse_json(text: str) -> Document:
    """Return the document of a JSON text."""
    try:
        values = json.loads(text)
        found = list(_json_keys(text, _skip(text, 0), ()))
    except (ValueError, RecursionError) as error:
        raise RecipeError(f"the recipe is not valid JSON: {error}") from None
    return _document(values, [(path, text.count("\n", 0, start) + 1) for path, start in found])


def parse_yaml(text: str) -> Document:
    """Return the document of a YAML text (extra "yaml"); an empty one is an empty mapping."""
    try:
        import yaml
    except ImportError:
        raise MissingExtraError("pyyaml", "yaml", "reading a YAML recipe") from None
    try:
        values = yaml.safe_load(text)
        found = list(_yaml_keys(yaml.compose(text, Loader=yaml.SafeLoader), ()))
    except (yaml.YAMLError, RecursionError) as error:
        raise RecipeError(f"the recipe is not valid YAML: {' '.join(str(error).split())}") from None
    return _document({} if values is None else values, found)


def _document(values: Any, found: list[tuple[KeyPath, int]]) -> Document:
    lines: dict[KeyPath, int] = {}
    problems = []
    for path, line in found:
        if path in lines:
            name = ".".join(path)
            problems.append(
                Problem(path, f"{name} is given twice, here and in line {lines[path]}: remove one")
            )
        lines[path] = line
    return Document(values, lines, tuple(problems))


def _yaml_keys(node: Any, at: KeyPath) -> Iterator[tuple[KeyPath, int]]:
    """Yield every key with its line, from the nodes that the parser gives."""
    if getattr(node, "id", None) != "mapping" or len(at) >= DEPTH:
        return
    for name, value in node.value:
        path = (*at, str(name.value))
        yield path, name.start_mark.line + 1
        yield from _yaml_keys(value, path)


def _json_keys(text: str, start: int, at: KeyPath) -> Iterator[tuple[KeyPath, int]]:
    """Yield every key of the valid JSON value at ``start`` with its position; ``json`` tells none."""
    if text[start] != "{" or len(at) >= DEPTH:
        return
    decoder = json.JSONDecoder()
    start = _skip(text, start + 1)
    while text[start] == '"':
        name, end = decoder.raw_decode(text, start)
        value = _skip(text, _skip(text, end) + 1)
        yield (*at, name), start
        yield from _json_keys(text, value, (*at, name))
        end = _skip(text, decoder.raw_decode(text, value)[1])
        start = _skip(text, end + 1) if text[end] == "," else end


def _skip(text: str, start: int) -> int:
    """Return the position after white space."""
    while text[start] in " \t\n\r":
        start += 1
    return start
