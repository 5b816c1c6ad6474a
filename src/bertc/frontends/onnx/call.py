"""What the functions of the import tables are given: one node of the file, its operands resolved."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bertc.errors import NodeError
from bertc.foreign.builder import ForeignBuilder

Array = np.ndarray[Any, Any]

WEIGHTS = "the source's weights were already rounded to {bits} bits: what that lost cannot be won back"


@dataclass(frozen=True, eq=False)
class Call:
    """One node."""

    builder: ForeignBuilder
    inputs: Sequence[str]
    """The values of its operands in the foreign graph, "" for one that is absent."""
    attributes: Mapping[str, Any]
    outputs: int
    """The number of its outputs."""
    version: int
    """The version of its domain."""
    rounded: dict[str, str]
    """The values of the graph so far that the file has in whole numbers, and that are imported as the numbers
    they stand for: rounding of activations is left out, since the compiler quantizes on its own. Each with
    the value that is its scale."""
    notes: set[str]
    """What a user should know: sentences."""
    where: str
    """The node, for messages."""

    def __getitem__(self, index: int) -> str:
        """Return an operand, "" if it is absent."""
        return self.inputs[index] if index < len(self.inputs) else ""

    def get(self, attribute: str, default: Any = None) -> Any:
        """Return an attribute."""
        return self.attributes.get(attribute, default)

    def known(self, index: int, what: str) -> Array:
        """Return an operand that must be a constant. Raises ``CheckpointError``."""
        array = self.builder.known(self[index])
        if array is None:
            raise self.error(f"its {what} must be a constant, here it depends on the input")
        return array

    def error(self, problem: str) -> NodeError:
        """Return an error that names the node."""
        return NodeError({self.where: problem})

    def axes(self, since: int, default: Any = None) -> tuple[int, ...] | None:
        """Return axes, which became an operand in a version."""
        found = self.get("axes")
        if found is None and self.version >= since and self[1]:
            found = self.known(1, "axes").ravel().tolist()
        return default if found is None else tuple(int(axis) for axis in found)


Import = Callable[[Call], "str | tuple[str, ...]"]
"""Appends primitives for a node, and returns the values of its outputs."""


@dataclass(frozen=True)
class Row:
    """How the ops of a name are imported, from one version of their domain to another."""

    name: str
    function: Import
    first: int = 1
    last: int = 10_000
