"""What readers give: consecutive rows of a file with their texts and ids, and the rows that are wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

PART_ROWS = 8192
"""The rows that are read, answered and written at once: a second or more of work, 25 MB of vectors of 768."""
PART_CHARACTERS = 8 * 1024 * 1024
"""Fewer rows where texts are long, so that memory stays bounded."""


class Rejected(NamedTuple):
    """A row that no text could be read of."""

    row: int
    """The number of the row in its file, from 0."""
    reason: str


@dataclass
class Part:
    """Consecutive rows of a file, without those that are rejected."""

    rows: list[int] = field(default_factory=list)
    """The number of each row in its file, from 0."""
    texts: list[tuple[str | None, ...]] = field(default_factory=list)
    """For each row the text of each column that was asked for; None for null."""
    ids: Any = None
    """The id of each row, an Arrow array; None if no column has them."""
    rejected: list[Rejected] = field(default_factory=list)
