"""The foreign graph: primitives on values of any rank, with symbolic numbers of sequences and tokens.

It is in single-assignment form like the IR's, and padded: an ``attention_mask`` says which tokens count.
What a primitive computes, and the shape of its result, is in ``primitives/``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from bertc.errors import CheckpointError
from bertc.primitives.dim import Shape

Array = np.ndarray[Any, Any]

BATCH = "batch"
LENGTH = "length"
"""The symbols: the sequences of a padded batch, and the tokens of each, padding included."""

SMALL = 4096
"""Constants of at most so many elements are held as arrays; others are read where they are needed."""


@dataclass(frozen=True, eq=False)
class Tensor:
    """A constant that is read or made where it is needed, so that weights take no memory twice."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    make: Callable[[], Array]
    """Returns the elements, of that dtype."""

    def array(self) -> Array:
        """Return the elements as they are."""
        return self.make()

    def read(self) -> Array:
        """Return the elements in float32, contiguous: what the IR asks of a stored tensor."""
        return np.ascontiguousarray(self.make(), np.float32)

    @classmethod
    def of(cls, array: Array) -> Tensor:
        """Return an array as a tensor."""
        return cls(array.shape, array.dtype, lambda: array)


Constant = Array | Tensor
"""A constant: an array, which may hold symbolic sizes, or a tensor."""


def array_of(constant: Constant) -> Array:
    """Return the elements of a constant."""
    return constant if isinstance(constant, np.ndarray) else constant.array()


@dataclass(frozen=True)
class ForeignNode:
    """One primitive. Its one result is ``output``."""

    name: str
    """The name of the source's node, for messages; a primitive shares it with others of the same source."""
    op: str
    inputs: tuple[str, ...]
    output: str
    attributes: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    source: str = ""
    """The kind of the source's node, for messages: ``Gelu``, ``com.microsoft.Attention``."""

    def __str__(self) -> str:
        return f"{self.name!r} ({self.source or self.op})"


@dataclass(frozen=True, eq=False)
class ForeignGraph:
    """A model as another system wrote it."""

    inputs: Mapping[str, Shape]
    """The shapes of the inputs by their roles: ``input_ids``, ``attention_mask``, ``token_type_ids``, ..."""
    constants: Mapping[str, Constant]
    nodes: tuple[ForeignNode, ...]
    """The nodes in execution order."""
    outputs: Mapping[str, str]
    """The value of each output by its name."""
    batch: Any
    """The number of sequences: a symbol, or a number where the source fixes it."""
    length: Any
    """The number of tokens of each sequence, likewise."""
    shapes: Mapping[str, Shape] = field(default_factory=dict)
    """The shapes of all values, once ``simplify`` found them."""

    def with_nodes(self, nodes: tuple[ForeignNode, ...], **changes: Any) -> ForeignGraph:
        """Return a copy with other nodes, and other fields where given."""
        return replace(self, nodes=nodes, **changes)

    def with_output(self, name: str, where: str) -> ForeignGraph:
        """Return a copy with one of the outputs alone. Raises ``CheckpointError`` that names the others."""
        if name not in self.outputs:
            names = ", ".join(map(repr, self.outputs))
            raise CheckpointError(f"{where} has no output {name!r}, only {names}")
        return replace(self, outputs={name: self.outputs[name]})
