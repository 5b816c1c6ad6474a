"""Ports: what goes into a graph or a program and what comes out, by name, element type and shape."""

from __future__ import annotations

from dataclasses import dataclass

TOKENS = "tokens"
"""Rows: one for each token of the packed batch."""
SEQUENCES = "sequences"
"""Rows: one for each sequence."""
SELECTED = "selected"
"""Rows: one for each token that the input ``selected`` picks by its index."""
CU_SEQLENS = "cu_seqlens"
"""Where each sequence starts: int32 [sequences + 1]. Every graph and program has it; it is no port."""


@dataclass(frozen=True)
class Port:
    """An input or output: [rows, columns] elements, or [rows] where ``columns`` is 0."""

    name: str
    dtype: str
    """As safetensors spells it, in lower case: ``i32``, ``f32``, ``bf16``, ``u8``."""
    rows: str
    """``TOKENS``, ``SEQUENCES`` or ``SELECTED``."""
    columns: int = 0
