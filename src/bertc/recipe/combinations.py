"""Which values of a recipe do not go together, each with the keys that it takes to see it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from bertc.recipe.keys import Problem
from bertc.recipe.schema import VERSION

Values = Mapping[str, Any]
"""The fields of a recipe, its sections as dataclasses."""

MODE = ("activations", "mode")
GRANULARITY = ("activations", "granularity")
OBSERVER = ("activations", "observer")


def impossible(values: Values) -> Iterator[Problem]:
    """What does not go together in a recipe whose single values are all accepted."""
    for rule in RULES:
        yield from rule(values)


def _version(values: Values) -> Iterator[Problem]:
    if values["version"] > VERSION:
        yield Problem(
            ("version",),
            f"version {values['version']} is newer than this bertc reads ({VERSION}): upgrade bertc",
        )


def _granularity(values: Values) -> Iterator[Problem]:
    scheme = values["activations"]
    per_token = scheme.granularity == "per_token"
    if scheme.mode == "dynamic" and not per_token:
        yield Problem(
            GRANULARITY,
            f"activations.granularity {scheme.granularity} does not go with mode dynamic: a range found"
            " while the model runs belongs to one token, or results would depend on the rest of the batch;"
            " use per_token, or mode static",
            (MODE,),
        )
    elif scheme.mode != "dynamic" and per_token:
        yield Problem(
            GRANULARITY,
            f"activations.granularity per_token does not go with mode {scheme.mode}: tokens are not known in"
            " advance; use per_tensor or per_channel_group, or mode dynamic",
            (MODE,),
        )
    if scheme.group_size is not None and scheme.granularity != "per_channel_group":
        yield Problem(
            ("activations", "group_size"),
            f"activations.group_size does not go with granularity {scheme.granularity}: it is for"
            " per_channel_group",
            (GRANULARITY, MODE),
        )


def _observer(values: Values) -> Iterator[Problem]:
    scheme = values["activations"]
    if scheme.observer is not None and scheme.mode == "dynamic":
        yield Problem(
            OBSERVER,
            "activations.observer does not go with mode dynamic: nothing is observed in advance; use mode"
            " static or mixed, or leave it out",
            (MODE,),
        )


RULES: tuple[Callable[[Values], Iterator[Problem]], ...] = (_version, _granularity, _observer)
