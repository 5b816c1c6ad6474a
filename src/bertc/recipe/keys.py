"""How a key of a recipe is declared: its default, what it accepts, and a line that explains it.

The declarations (``schema.py``) are the one source of validation, of the commented file that ``bertc
recipe init`` writes, and of nearest-key hints.
"""

from __future__ import annotations

import dataclasses
import reprlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from bertc.errors import RecipeError

_SHORT = reprlib.Repr()
"""Spells values in messages: what a hostile file nests or repeats must not make a message long."""
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother = 3, 60, 60

KeyPath = tuple[str, ...]
"""The names of a key's sections, and its own name."""


class Problem(NamedTuple):
    """Something that is wrong with a recipe, and at which key."""

    path: KeyPath
    message: str
    reasons: tuple[KeyPath, ...] = ()
    """Other keys that the problem depends on."""


@dataclass(frozen=True)
class Rule:
    """The values that a key accepts."""

    accepts: Callable[[Any], bool]
    expected: str
    """Completes the sentence "expected ..."."""
    section: type | None = None
    """The dataclass of a nested section."""


def setting(default: Any, rule: Rule, doc: str) -> Any:
    """Declare a field of a section, by its default or by a function that makes it.

    A field whose default is None accepts nothing, too. ``doc`` is the comment that ``bertc recipe init``
    writes above it.
    """
    if default is None:
        rule = _optional(rule)
    metadata = {"rule": rule, "doc": doc}
    if callable(default):
        return dataclasses.field(default_factory=default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def _optional(rule: Rule) -> Rule:
    expected = f"{rule.expected}{';' if rule.section else ','} or nothing"
    return Rule(lambda value: value is None or rule.accepts(value), expected, rule.section)


def one_of(*choices: Any) -> Rule:
    """Accept exactly one of some values."""

    def accepts(value: Any) -> bool:
        return any(type(value) is type(choice) and value == choice for choice in choices)

    return Rule(accepts, f"one of {', '.join(map(str, choices))}")


def whole(low: int) -> Rule:
    """Accept a whole number of at least ``low``."""
    return Rule(lambda value: type(value) is int and value >= low, f"a whole number from {low}")


def number(low: float, high: float, *also: Any, above: bool = False, unit: str = "") -> Rule:
    """Accept a number from ``low`` (with ``above`` only larger ones) to ``high``, or another value."""

    def accepts(value: Any) -> bool:
        if any(type(value) is type(other) and value == other for other in also):
            return True
        return _is_number(value) and (low < value if above else low <= value) and value <= high

    start = f"above {low:g} and up to {high:g}" if above else f"from {low:g} to {high:g}"
    others = "".join(f", or {'nothing' if other is None else other}" for other in also)
    return Rule(accepts, f"a number {start}{unit}{others}")


def share() -> Rule:
    """Accept a number from 0 to 1, or a text such as "0.1%"."""

    def accepts(value: Any) -> bool:
        number = parse_share(value)
        return _is_number(number) and 0 <= number <= 1

    return Rule(accepts, 'a number from 0 to 1, or one of percent such as "0.1%"')


def parse_share(value: Any) -> Any:
    """Return a text such as "0.1%" as the number 0.001, anything else as it is."""
    if isinstance(value, str) and value.strip().endswith("%"):
        try:
            return float(value.strip()[:-1]) / 100
        except ValueError:
            return value
    return value


def flag() -> Rule:
    """Accept true or false."""
    return Rule(lambda value: isinstance(value, bool), "true or false")


def text() -> Rule:
    """Accept a string that is not empty."""
    return Rule(lambda value: isinstance(value, str) and value != "", "text")


def name_or_number() -> Rule:
    """Accept the name of a column, or its number from 0."""
    name, number = text(), whole(0)
    return Rule(lambda value: name.accepts(value) or number.accepts(value), "a name or a number from 0")


def patterns() -> Rule:
    """Accept a list of node names, perhaps with wildcards."""

    def accepts(value: Any) -> bool:
        return isinstance(value, (list, tuple)) and all(isinstance(each, str) and each for each in value)

    return Rule(accepts, "a list of node-name patterns")


def choices_by_pattern(*choices: str) -> Rule:
    """Accept a mapping of node names, perhaps with wildcards, to choices."""

    def accepts(value: Any) -> bool:
        return isinstance(value, Mapping) and all(
            isinstance(pattern, str) and pattern and choice in choices for pattern, choice in value.items()
        )

    return Rule(accepts, f"a mapping of node-name patterns to one of {', '.join(choices)}")


def section(cls: type, doc: str, *, optional: bool = False) -> Any:
    """Declare a field for a nested section: an instance of its dataclass, or a mapping of its keys."""
    names = ", ".join(field.name for field in dataclasses.fields(cls))
    expected = f"a section with some of the keys {names}"
    rule = Rule(lambda value: isinstance(value, (cls, Mapping)), expected, cls)
    return setting(None if optional else cls, rule, doc)


def rule_of(field: dataclasses.Field[Any]) -> Rule:
    """Return the rule that a field was declared with."""
    rule = field.metadata["rule"]
    assert isinstance(rule, Rule)
    return rule


def wrong_values(cls: type, values: Mapping[str, Any], at: KeyPath = ()) -> Iterator[Problem]:
    """Yield the keys of a section, and of the sections in it, whose values are not accepted."""
    for field in dataclasses.fields(cls):
        if field.name not in values:
            continue
        value, rule, path = values[field.name], rule_of(field), (*at, field.name)
        if not rule.accepts(value):
            yield Problem(path, f"{'.'.join(path)} is {_SHORT.repr(value)}, expected {rule.expected}")
        elif rule.section is not None and isinstance(value, Mapping):
            yield from wrong_values(rule.section, value, path)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def raise_problems(
    problems: list[Problem], line_of: Callable[[KeyPath], int | None] = lambda _: None
) -> None:
    """Raise one ``RecipeError`` for all problems, if there are any."""
    if not problems:
        return
    messages = []
    for problem in problems:
        line = line_of(problem.path)
        messages.append(problem.message if line is None else f"line {line}: {problem.message}")
    raise RecipeError(f"invalid recipe: {'; '.join(messages)}")
