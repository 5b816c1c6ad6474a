"""The tree of an inspection as a table: a line for each module and node, below its parent, indented."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from bertc.inspection.facts import Inspection, Row

MEGA = 1e6
TEXTS = ("module", "op", "runs", "dtype", "output")
NUMBERS = ("parameters", "bytes", "MFLOP", "% of time")


class Table(NamedTuple):
    """A table of texts and numbers; columns without entries are left out where it is shown."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    """The cells: texts, numbers, or "" for nothing to say."""


def tabulate(inspection: Inspection, indent: str = "  ") -> Table:
    """Return the tree as a table, each level indented once more."""
    what = "operations" if inspection.measured is None else "operations and times"
    title = f"{what} for {inspection.batch} x {inspection.length} tokens"
    return Table(title, (*TEXTS, *NUMBERS, "why"), [*_lines(inspection.tree, indent, 0)])


def _lines(rows: Sequence[Row], indent: str, depth: int) -> Iterator[Sequence[Any]]:
    for row in rows:
        yield (
            indent * depth + row.name + (f" ({row.count}x)" if row.count > 1 else ""),
            row.op,
            row.place,
            row.dtype,
            row.output,
            row.parameters or "",
            row.bytes or "",
            row.operations / MEGA if row.operations else "",
            "" if row.share is None else 100 * row.share,
            row.why,
        )
        yield from _lines(row.children, indent, depth + 1)
