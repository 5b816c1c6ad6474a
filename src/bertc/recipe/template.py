"""Writes a recipe as YAML in which every key is explained: what ``bertc recipe init`` gives."""

from __future__ import annotations

import dataclasses
import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from bertc.recipe.keys import rule_of
from bertc.recipe.schema import Section

WIDTH = 100
_PLAIN = re.compile(r"[A-Za-z_][\w./-]*")
_UNPRINTABLE = re.compile(
    "[^\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
"""The characters that YAML wants escaped, and line breaks of other alphabets."""
_RESERVED = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}
"""Words that YAML takes for something else than text."""


def to_yaml(recipe: Section, *headings: str) -> str:
    """Return every key of the recipe with its value, under a comment that explains it, and headings.

    Optional sections that are absent are written as comments, with their defaults.
    """
    head = [line for heading in headings for line in _comment(heading, "")]
    return "\n".join([*head, *_section(recipe, ""), ""])


def _section(section: Section, indent: str) -> Iterator[str]:
    for field in dataclasses.fields(section):
        rule, value = rule_of(field), getattr(section, field.name)
        if not indent:
            yield ""
        yield from _comment(field.metadata["doc"], indent)
        if rule.section is None:
            if rule.expected.startswith(("one of", "a ")):
                yield from _comment(f"Takes {rule.expected}.", indent)
            yield f"{indent}{field.name}: {spell(value)}"
        elif value is not None:
            yield f"{indent}{field.name}:"
            yield from _section(value, f"{indent}  ")
        else:
            yield f"{indent}{field.name}: null"
            yield from _comment_out(rule.section(), field.name, indent)


def _comment_out(section: Section, name: str, indent: str) -> Iterator[str]:
    yield f"{indent}# {name}:"
    for line in _section(section, "  "):
        yield f"{indent}# {line}"


def _comment(text: str, indent: str) -> Iterator[str]:
    for line in textwrap.wrap(text, WIDTH - len(indent) - 2):
        yield f"{indent}# {line}"


def spell(value: Any) -> str:
    """Return a value on one line of YAML."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{spell(name)}: {spell(each)}" for name, each in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(spell, value)) + "]"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _RESERVED:
        return value
    if isinstance(value, float):
        mantissa, exponent, power = repr(value).partition("e")
        return f"{mantissa if '.' in mantissa or not exponent else f'{mantissa}.0'}{exponent}{power}"
    return _UNPRINTABLE.sub(lambda found: f"\\U{ord(found[0]):08x}", json.dumps(value, ensure_ascii=False))
