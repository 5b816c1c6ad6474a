"""Rules for sums of rows of tables: words, positions, token types."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from bertc.foreign.graph import ForeignNode, Tensor
from bertc.foreign.raising.layout import Axis, align, columns
from bertc.foreign.raising.meanings import Control, Known, Lookups, Meaning, View
from bertc.foreign.raising.raiser import Raiser, Rule, as_tensor, rule
from bertc.primitives import PRIMITIVES
from bertc.primitives.dim import product

Array = np.ndarray[Any, Any]

_TYPES = 2
"""The rows of a table of token types that the graph itself has none of: all are the same."""


@rule("gather")
def _lookup(raiser: Raiser, node: ForeignNode, operands: Sequence[Any]) -> Meaning | None:
    """Look up rows of a table, by ids that are known by their numbers."""
    table, ids = operands
    if not isinstance(table, Known) or not isinstance(ids, Control) or len(table.constant.shape) != 2:
        return None
    if node.attributes["axis"] != 0 or table.constant.dtype in (
        np.dtype(np.int64),
        np.dtype(np.int32),
        np.dtype(bool),
    ):
        return None
    kind, number = raiser.probes.ids_kind(ids.name)
    rows = as_tensor(table, table.constant.shape)
    if kind == "constant":
        kind, rows = "token_type", _repeated(rows, number)
    if not kind and _is_for_pairs(raiser, ids):
        return None
    if not kind:
        raise raiser.no_op("it looks up rows by ids that are neither tokens, nor their positions or types")
    return View(
        Lookups({kind: rows}, number if kind == "position" else 0),
        _layout(raiser, node.inputs[1], rows.shape[1]),
    )


@rule("slice")
def _first_positions(raiser: Raiser, node: ForeignNode, operands: Sequence[Any]) -> Meaning | None:
    """Take as many rows of a table of positions as there are tokens."""
    table, start = operands[0], operands[1]
    shape = raiser.shape(node.output)
    if not isinstance(table, Known) or table.constant.dtype.kind != "f" or len(shape) < 2:
        return None
    first = start.scalar if isinstance(start, Known) else None
    places = [axis % len(shape) for axis in node.attributes["axes"]]
    if shape[-2] != raiser.graph.length or places != [len(shape) - 2] or first is None:
        return None
    rows = as_tensor(table, table.constant.shape[-2:])
    return _positions(raiser, rows, int(first), len(shape))


@rule("add")
def _sum(raiser: Raiser, _: ForeignNode, operands: Sequence[Any]) -> Meaning | None:
    """Add lookups, or to lookups a constant: positions of a fixed length, or one row for all tokens."""
    first, second = operands if isinstance(operands[0], View) else operands[::-1]
    if not isinstance(first, View) or not isinstance(first.rows, Lookups) or first.rows.value is not None:
        return None
    if isinstance(second, View) and isinstance(second.rows, Lookups) and second.rows.value is None:
        layout = align(first.layout, second.layout)
        if layout is None or {*first.rows.tables} & {*second.rows.tables}:
            return None
        tables = {**first.rows.tables, **second.rows.tables}
        return View(Lookups(tables, max(first.rows.first_position, second.rows.first_position)), layout)
    if not isinstance(second, Known):
        return None
    width = first.rows.width
    tokens = _rows_of_tokens(raiser, second, width)
    if tokens is not None and ("token_type" in first.rows.tables or (tokens != tokens[0]).any()):
        return _with_positions(first, tokens)
    if tokens is not None:  # of a fixed length, the type that all tokens have
        second = Known(tokens[:1])
    vector = second.vector(width)
    if vector is None or not vector.ndim or "token_type" in first.rows.tables:
        return None
    rows = _repeated(as_tensor(second, (1, width)), 0, _TYPES)
    return View(Lookups({**first.rows.tables, "token_type": rows}, first.rows.first_position), first.layout)


def _rows_of_tokens(raiser: Raiser, known: Known, width: int) -> Array | None:
    """Return what a constant adds to each of a fixed number of tokens [length, width], in all sequences."""
    shape = known.constant.shape
    if len(shape) < 2 or shape[-2:] != (raiser.graph.length, width):
        return None
    rows = np.asarray(known.array, np.float32).reshape(-1, *shape[-2:])
    return None if (rows != rows[:1]).any() else np.asarray(rows[0])


def _with_positions(view: View, tokens: Array) -> View | None:
    """Return lookups with positions beside them, or with more of a sum of positions."""
    lookups = view.rows
    assert isinstance(lookups, Lookups)
    before = lookups.tables.get("position")
    if before is not None and (before.shape != tokens.shape or lookups.first_position):
        return None
    total = tokens if before is None else before.array() + tokens
    return dataclasses.replace(view, rows=Lookups({**lookups.tables, "position": Tensor.of(total)}, 0))


@rule("add", "sub", "mul", "div", "cast")
def _dequantize(_: Raiser, node: ForeignNode, operands: Sequence[Any]) -> Meaning | None:
    """Compute on all rows of a table what is computed on those that were looked up: a scale, a cast."""
    x = operands[0]
    lookup = _one_lookup(x)
    if lookup is None or node.attributes.get("to", "float32") != "float32":
        return None
    others = [_for_each_row(other, lookup) for other in operands[1:]]
    tables = [other for other in others if other is not None]
    if len(tables) < len(others):
        return None
    ((kind, table),) = lookup.tables.items()

    def make() -> Any:
        arrays = [each.array() for each in (table, *tables)]
        return np.asarray(PRIMITIVES[node.op].compute(*arrays, **node.attributes), np.float32)

    return View(Lookups({kind: Tensor(table.shape, table.dtype, make)}, lookup.first_position), x.layout)


def _one_lookup(meaning: Any) -> Lookups | None:
    """Return the rows of a view of one table, that nothing was made of yet."""
    rows = meaning.rows if isinstance(meaning, View) else None
    if not isinstance(rows, Lookups) or len(rows.tables) > 1 or rows.value is not None:
        return None
    return rows


def _for_each_row(meaning: Any, like: Lookups) -> Tensor | None:
    """Return a number, or what is looked up by the ids of another table: a number for each of its rows."""
    if isinstance(meaning, Known):
        return None if meaning.scalar is None else Tensor.of(np.asarray(meaning.scalar, np.float32))
    found = _one_lookup(meaning)
    if found is None or found.first_position != like.first_position:
        return None
    table = next(iter(found.tables.values()))
    ((kind, rows),) = like.tables.items()
    return table if [*found.tables] == [kind] and table.shape == (rows.shape[0], 1) else None


def _is_for_pairs(raiser: Raiser, ids: Control) -> bool:
    """Return whether there is an id for each pair of tokens, as for a bias by distance."""
    pairs = raiser.graph.length * raiser.graph.length
    return product(raiser.shape(ids.name)) in (pairs, raiser.graph.batch * pairs)


def _repeated(table: Tensor, row: int, count: int = 0) -> Tensor:
    """Return a table of as many rows (or ``count``), all of them the one: no id changes anything."""
    shape = (count or table.shape[0], table.shape[1])
    return Tensor(shape, table.dtype, lambda: np.broadcast_to(table.array()[row], shape))


def _positions(raiser: Raiser, rows: Tensor, first: int, rank: int) -> View:
    leading: tuple[Axis, ...] = ((),) * (rank - 2)
    return View(Lookups({"position": rows}, first), (*leading, raiser.length, columns(rows.shape[1])))


def _layout(raiser: Raiser, ids: str, width: int) -> tuple[Axis, ...]:
    """Return the layout of rows that were looked up by ids [length], [1, length] or [batch, length]."""
    shape = raiser.shape(ids)
    axes: list[Axis] = [raiser.length if shape[-1] == raiser.graph.length else ()]
    for size in shape[-2::-1]:
        axes.insert(0, raiser.batch if size == raiser.graph.batch and len(axes) == 1 else ())
    return (*axes, columns(width))


RULES: tuple[Rule, ...] = (_lookup, _first_positions, _sum, _dequantize)
