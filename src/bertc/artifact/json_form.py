"""Turns frozen dataclasses into JSON values and back; checks every type, as what is read may be hostile."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping
from types import MappingProxyType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from bertc.errors import ArtifactError

T = TypeVar("T")


def to_json_value(value: Any) -> Any:
    """Return a dataclass, or a value that one holds, as dicts, lists and plain values.

    Raises ``ArtifactError`` for what is nested too deeply to be anything of ours.
    """
    try:
        return _plain(value)
    except RecursionError:
        raise ArtifactError("the manifest is nested too deeply: compile the model again") from None


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return value


def from_json_value(kind: type[T], data: Any, where: str) -> T:
    """Build a dataclass from what :func:`to_json_value` gave; keys that it does not know are left out.

    Raises ``ArtifactError`` that names the first key that is missing or has the wrong type; numbers
    must be finite, except under a hint of ``Any``.
    """
    if not isinstance(data, dict):
        raise ArtifactError(f"{where} must be an object, found {type(data).__name__}")
    hints = _hints(kind)  # type: ignore[arg-type]  # a class is hashable, whatever it is a class of
    values: dict[str, Any] = {}
    for entry in dataclasses.fields(kind):  # type: ignore[arg-type]
        if entry.name in data:
            values[entry.name] = _convert(hints[entry.name], data[entry.name], f"{where}.{entry.name}")
        elif entry.default is dataclasses.MISSING and entry.default_factory is dataclasses.MISSING:
            raise ArtifactError(f"{where}.{entry.name} is missing: compile the model again")
    return kind(**values)


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    """Return a class's type hints, cached: resolving costs most, and programs have hundreds of steps."""
    return get_type_hints(kind)


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if dataclasses.is_dataclass(hint):
        return from_json_value(hint, value, where)  # type: ignore[arg-type]
    if origin is tuple and isinstance(value, list):
        return tuple(_convert(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is Mapping and isinstance(value, dict):
        return MappingProxyType(
            {key: _convert(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
        )
    if origin in (Union, UnionType):
        for argument in arguments:
            if dataclasses.is_dataclass(argument) and value is not None:
                return _convert(argument, value, where)
            if type(value) is argument:
                return _finite(value, where)
    elif hint is Any:
        return value
    elif type(value) is hint:
        return _finite(value, where)
    raise ArtifactError(f"{where} has the wrong type ({type(value).__name__}): compile the model again")


def _finite(value: Any, where: str) -> Any:
    """Refuse what Python reads as JSON beside the standard: NaN, infinity, numbers longer than 64 bits."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ArtifactError(f"{where} is {value}, no number: compile the model again")
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        raise ArtifactError(f"{where} does not fit 64 bits: compile the model again")
    return value
