"""Rotary positions (Su et al. 2021, arXiv:2104.09864): the angles that turn queries and keys."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bertc.architectures.family import ConfigReader, EncoderConfig
from bertc.architectures.model_builder import ModelBuilder, Order
from bertc.architectures.rope_scaling import Rope, frequencies, read_rope

Array = np.ndarray[Any, Any]

MAX_POSITIONS = 2**20
"""Far beyond any encoder: a config that asks for more is wrong, and its table would fill the memory."""


@dataclass(frozen=True, eq=False)
class Angles:
    """The table of all positions' cosines and sines, float32 [positions, columns], made where it is read."""

    positions: int
    columns: int
    """The columns of a head that are turned: twice the number of pairs."""
    rope: Rope

    @property
    def shape(self) -> tuple[int, ...]:
        """The size of the table."""
        return (self.positions, self.columns)

    def read(self) -> Array:
        """Return the table. Angles are float32 products, as ``transformers`` computes them."""
        magnitude = np.float32(self.rope.get("attention_factor", 1.0))
        return table(self.positions, frequencies(self.rope, self.columns)) * magnitude


def table(positions: int, frequencies: Array) -> Array:
    """Return the cosines and sines of positions times frequencies, float32 [positions, 2 frequencies]."""
    angles = np.arange(positions, dtype=np.float32)[:, None] * frequencies
    return np.concatenate([np.cos(angles), np.sin(angles)], axis=1)


def read_angles(reader: ConfigReader, config: EncoderConfig, given: Any, theta: float) -> Rope:
    """Return what an entry of ``rope_parameters`` says of a config's heads; ``theta`` is the usual base."""
    if not isinstance(given, dict):
        reader.require(False, f"rope_parameters is {given!r}, expected an object for each kind of layers")
        given = {}
    positions = config.max_position_embeddings
    return read_rope(reader, given, theta, columns=config.head_size, positions=positions)


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

    rope_parameters: str
    """The angles, as JSON."""

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
        rope = json.loads(self.rope_parameters)
        angles = Angles(self.max_position_embeddings, self.head_size, rope)
        return {
            "rotary": stored or builder.constant("rotary", angles),
            "position_ids": builder.token_input("position_ids"),
        }


def read_rotary(reader: ConfigReader, config: EncoderConfig, theta: float) -> RotaryConfig:
    """Add to a config what ``rope_parameters`` says, or what transformers 4 said in keys of their own."""
    require_pairs(reader, config)
    return RotaryConfig(
        **dataclasses.asdict(config), rope_parameters=json.dumps(read_one(reader, config, theta))
    )


def read_one(reader: ConfigReader, config: EncoderConfig, theta: float) -> Rope:
    """Return the angles that all layers of a config have."""
    given = reader.value("rope_parameters") or reader.value("rope_scaling") or {}
    return read_angles(reader, config, given, reader.number("rope_theta", theta))
