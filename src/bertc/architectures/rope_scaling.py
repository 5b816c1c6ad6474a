"""How configs stretch rotary positions to longer texts: the frequencies, fixed when a model is compiled.

Formulas, and their steps in float32, are those of ``transformers`` (``modeling_rope_utils``). What depends on
the length of a text is refused, but for ``dynamic``: it changes nothing up to ``max_position_embeddings``,
beyond which we take no text.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bertc.architectures.family import ConfigReader

Array = np.ndarray[Any, Any]
Rope = Mapping[str, Any]
"""``rope_parameters`` of a config, complete and checked."""

_PRETRAINED = "original_max_position_embeddings"


def frequencies(rope: Rope, columns: int) -> Array:
    """Return by how much the angle of each pair of ``columns`` grows from place to place: float32 [pairs]."""
    exponents = np.arange(0, columns, 2, dtype=np.float32) / np.float32(columns)
    # A power in float64, rounded, is nearer to PyTorch's in float32 than NumPy's in float32 is.
    powers = np.power(float(rope["rope_theta"]), exponents.astype(np.float64)).astype(np.float32)
    return np.asarray(_KINDS[rope["rope_type"]](rope, powers), np.float32)


def read_rope(
    reader: ConfigReader, given: Mapping[str, Any], theta: float, *, columns: int, positions: int
) -> Rope:
    """Return an entry of ``rope_parameters`` with what it leaves out; problems go into the reader.

    ``theta`` is the usual base, ``columns`` are those of a head, ``positions`` is how many the model has.
    """
    kind = given.get("rope_type", given.get("type", "default"))
    if kind not in _KINDS:
        reader.require(False, f"rope_type {kind!r} is not supported, only {', '.join(_KINDS)}")
        return {}
    part = given.get("partial_rotary_factor")
    reader.require(part in (None, 1.0), f"partial_rotary_factor is {part!r}, only whole heads are supported")
    numbers = _Numbers(reader, given)
    rope = {"rope_type": kind, "rope_theta": numbers("rope_theta", theta)}
    if kind == "linear":
        rope["factor"] = numbers("factor", 1.0)
    elif kind in _READ:
        rope[_PRETRAINED] = numbers(_PRETRAINED, positions)
        rope |= _READ[kind](numbers, rope, columns, positions)
    return rope


class _Numbers:
    """Reads positive numbers of an entry."""

    def __init__(self, reader: ConfigReader, given: Mapping[str, Any]) -> None:
        self.require, self.given = reader.require, given

    def __call__(self, key: str, default: float | None = None) -> float:
        value = self.given.get(key)
        value = default if value is None else value
        valid = type(value) in (int, float) and 0 < float(value or 0) < math.inf
        self.require(valid, f"{key} is {value!r}, expected a positive number")
        return float(value) if valid and value is not None else 1.0


def _read_yarn(numbers: _Numbers, rope: Rope, columns: int, positions: int) -> Rope:  # noqa: ARG001 (of _READ)
    numbers.require(rope["rope_theta"] != 1, "rope_theta is 1, expected another base for rope_type 'yarn'")
    factor = numbers("factor", positions / rope[_PRETRAINED])
    usual = _magnitude(factor)
    if numbers.given.get("mscale") and numbers.given.get("mscale_all_dim"):
        usual = _magnitude(factor, numbers("mscale")) / _magnitude(factor, numbers("mscale_all_dim"))
    return {
        "factor": factor,
        "attention_factor": numbers("attention_factor", usual),
        "beta_fast": numbers("beta_fast", 32.0),
        "beta_slow": numbers("beta_slow", 1.0),
        "truncate": numbers.given.get("truncate") is not False,
    }


def _magnitude(factor: float, scale: float = 1.0) -> float:
    return 0.1 * scale * math.log(factor) + 1.0 if factor > 1 else 1.0


def _read_llama3(numbers: _Numbers, rope: Rope, columns: int, positions: int) -> Rope:  # noqa: ARG001 (of _READ)
    keys = ("factor", "low_freq_factor", "high_freq_factor")
    factor, low, high = (numbers(key) for key in keys)
    numbers.require(low < high, f"low_freq_factor is {low:g}, expected less than high_freq_factor {high:g}")
    return dict(zip(keys, (factor, low, high), strict=True))


def _read_longrope(numbers: _Numbers, rope: Rope, columns: int, positions: int) -> Rope:
    pretrained = rope[_PRETRAINED]
    factor = numbers("factor", positions / pretrained)
    stretched = factor > 1 and pretrained > 1
    usual = math.sqrt(1 + math.log(factor) / math.log(pretrained)) if stretched else 1.0
    magnitude, short = numbers("attention_factor", usual), numbers.given.get("short_factor")
    numbers.require(
        positions <= pretrained,
        f"rope_type 'longrope' has other angles for texts of more than {pretrained:g} tokens, which is not "
        f"supported: for shorter ones set max_position_embeddings to {pretrained:g} and attention_factor of "
        f"rope_parameters to {magnitude!r}",
    )
    valid = (
        isinstance(short, list)
        and len(short) == columns // 2
        and all(type(each) in (int, float) and 0 < each < math.inf for each in short)
    )
    numbers.require(valid, f"short_factor is {short!r}, expected {columns // 2} positive numbers")
    return {"attention_factor": magnitude, "short_factor": short}


_READ: Mapping[str, Callable[[_Numbers, Rope, int, int], Rope]] = {
    "yarn": _read_yarn,
    "llama3": _read_llama3,
    "longrope": _read_longrope,
}
"""The keys of each kind that knows for how many positions a model was made at first."""


def _plain(_: Rope, powers: Array) -> Array:
    return np.asarray(np.float32(1) / powers)


def _linear(rope: Rope, powers: Array) -> Array:
    return _plain(rope, powers) / np.float32(rope["factor"])


def _yarn(rope: Rope, powers: Array) -> Array:
    """Divide slow angles by the factor, leave fast ones (Peng et al. 2023, arXiv:2309.00071, sec. 3.2)."""
    columns = 2 * len(powers)
    low, high = (
        columns * math.log(rope[_PRETRAINED] / (turns * 2 * math.pi)) / (2 * math.log(rope["rope_theta"]))
        for turns in (rope["beta_fast"], rope["beta_slow"])
    )
    if rope["truncate"]:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, columns - 1)
    high += 0.001 if low == high else 0
    slow = np.clip((np.arange(len(powers), dtype=np.float32) - low) / (high - low), 0, 1)
    fast = np.float32(1) - slow.astype(np.float32)
    slowed = np.float32(1) / (np.float32(rope["factor"]) * powers)
    return np.asarray(slowed * (np.float32(1) - fast) + _plain(rope, powers) * fast)


def _llama3(rope: Rope, powers: Array) -> Array:
    """Divide slow angles by the factor, leave fast ones, and go from one to the other in between."""
    plain, pretrained = _plain(rope, powers), rope[_PRETRAINED]
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    lengths = np.float32(2 * math.pi) / plain
    share = (np.float32(pretrained) / lengths - np.float32(low)) / np.float32(high - low)
    slowed = plain / np.float32(rope["factor"])
    between = (np.float32(1) - share) * slowed + share * plain
    return np.where(lengths > pretrained / low, slowed, np.where(lengths < pretrained / high, plain, between))


def _longrope(rope: Rope, powers: Array) -> Array:
    """Divide each angle by a factor of its own (Ding et al. 2024, arXiv:2402.13753)."""
    return np.float32(1) / (np.array(rope["short_factor"], np.float32) * powers)


_KINDS: Mapping[str, Callable[[Rope, Array], Array]] = {
    "default": _plain,
    "linear": _linear,
    "dynamic": _plain,
    "yarn": _yarn,
    "llama3": _llama3,
    "longrope": _longrope,
}
