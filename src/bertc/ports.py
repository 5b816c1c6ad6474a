"""Ports: what goes into a graph or a program and what comes out, by name, element type and shape."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

TOKENS = "tokens"
"""The value of ``Port.rows`` for an array with a row for each token of the packed batch."""
SEQUENCES = "sequences"
"""The value of ``Port.rows`` for an array with a row for each sequence."""
SELECTED = "selected"
"""The value of ``Port.rows`` for an array with a row for each token that the input ``selected`` names."""
EMBEDDINGS = "embeddings"
"""The name of the input of a model that is compiled from the output of its embeddings on: rows of floats."""
CU_SEQLENS = "cu_seqlens"
"""The name of the sequences' starts, int32 [sequences + 1], which all graphs and programs have: no port."""

HOST = "host"
"""The op whose steps run on the host: a session computes them with NumPy."""


@dataclass(frozen=True)
class Port:
    """An input or output of a graph or program: [rows, columns], or [rows] where ``columns`` is 0."""

    name: str
    dtype: str
    """The element type as safetensors spells it, in lower case: ``i32``, ``f32``, ``bf16``, ``u8``."""
    rows: str
    """What the array has a row for: ``TOKENS``, ``SEQUENCES`` or ``SELECTED``."""
    columns: int = 0


def takes_selection(inputs: Iterable[Port]) -> bool:
    """Return whether a graph or program with these inputs works on tokens that callers select."""
    return any(port.rows == SELECTED for port in inputs)
