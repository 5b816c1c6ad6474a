"""Rotary positions (Su et al. 2021, arXiv:2104.09864): the angles that turn queries and keys."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bertc.architectures.family import ConfigReader, EncoderConfig
from bertc.architectures.model_builder import ModelBuilder, Order

Array = np.ndarray[Any, Any]

MAX_POSITIONS = 2**20
"""Far beyond any encoder: a config that asks for more is wrong, and its table would fill the memory."""


@dataclass(frozen=True)
class Angles:
    """The table of all positions' cosines and sines, float32 [positions, columns], made where it is read."""

    positions: int
    columns: int
    """The columns of a head that are turned: twice the number of pairs."""
    theta: float
    factor: float = 1.0
    """What positions are divided by ("linear" scaling)."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The size of the table."""
        return (self.positions, self.columns)

    def read(self) -> Array:
        """Return the table. Angles are float32 products, as ``transformers`` computes them."""
        exponents = np.arange(0, self.columns, 2, dtype=np.float32) / np.float32(self.columns)
        # A power in float64, rounded, is nearer to PyTorch's in float32 than NumPy's in float32 is.
        powers = np.power(self.theta, exponents.astype(np.float64)).astype(np.float32)
        return table(self.positions, np.float32(1) / powers / np.float32(self.factor))


def table(positions: int, frequencies: Array) -> Array:
    """Return the cosines and sines of positions times frequencies, float32 [positions, 2 frequencies]."""
    angles = np.arange(positions, dtype=np.float32)[:, None] * frequencies
    return np.concatenate([np.cos(angles), np.sin(angles)], axis=1)


def read_scaling(reader: ConfigReader, given: Mapping[str, Any], theta: float) -> tuple[float, float]:
    """Return theta and the factor of linear scaling by an entry of ``rope_parameters``, or what is usual."""
    kind = given.get("rope_type", given.get("type", "default"))
    factor = given.get("factor", 1.0) if kind == "linear" else 1.0
    theta = given.get("rope_theta", theta)
    reader.require(
        kind in ("default", "linear"), f"rope_type {kind!r} is not supported, only default and linear"
    )
    for name, value in (("rope_theta", theta), ("factor", factor)):
        valid = type(value) in (int, float) and 0 < value < float("inf")
        reader.require(valid, f"{name} is {value!r}, expected a positive number")
    return (1.0, 1.0) if reader.problems else (float(theta), float(factor))


def require_pairs(reader: ConfigReader, config: EncoderConfig) -> None:
    """Refuse sizes of which no table of angles can be made."""
    positions, head_size = config.max_position_embeddings, config.head_size
    reader.require(
        positions <= MAX_POSITIONS, f"max_position_embeddings is {positions}, above {MAX_POSITIONS}"
    )
    reader.require(head_size % 2 == 0, f"heads have {head_size} columns, which make no pairs")


@dataclass(frozen=True, kw_only=True)
class RotaryConfig(EncoderConfig):
    """The config of an encoder whose layers all turn whole heads by the same angles."""

    rope_theta: float
    rope_factor: float = 1.0

    @property
    def halves(self) -> Order:
        """The columns of all heads, in each the first ones of its pairs before the second ones.

        Pairs that stand side by side become those of one half with the other: scores do not change if
        queries and keys are put in the same order.
        """
        pairs = np.arange(self.hidden_size).reshape(self.num_attention_heads, -1, 2)
        return pairs.transpose(0, 2, 1).reshape(-1)

    def operands(self, builder: ModelBuilder, stored: str = "") -> Mapping[str, str]:
        """Return the operands of attention that turn queries and keys, by a ``stored`` table if there is."""
        angles = Angles(self.max_position_embeddings, self.head_size, self.rope_theta, self.rope_factor)
        return {
            "rotary": stored or builder.constant("rotary", angles),
            "position_ids": builder.token_input("position_ids"),
        }


def read_rotary(reader: ConfigReader, config: EncoderConfig, theta: float) -> RotaryConfig:
    """Add to a config what ``rope_parameters`` says, or what transformers 4 said in keys of their own."""
    require_pairs(reader, config)
    given = reader.value("rope_parameters") or reader.value("rope_scaling") or {}
    valid = isinstance(given, dict)
    reader.require(valid, f"rope_parameters is {given!r}, expected an object")
    theta, factor = read_scaling(reader, given if valid else {}, reader.number("rope_theta", theta))
    return RotaryConfig(**dataclasses.asdict(config), rope_theta=theta, rope_factor=factor)
