"""Rotary positions (Su et al. 2021, arXiv:2104.09864): the angles that turn queries and keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bertc.architectures.family import ConfigReader

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
        frequencies = np.float32(1) / powers / np.float32(self.factor)
        angles = np.arange(self.positions, dtype=np.float32)[:, None] * frequencies
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
