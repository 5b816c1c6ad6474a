"""Rules for scores by distance, as DeBERTa has them: what tokens give with rows that distances choose.

Queries, or keys, are multiplied by a table, an index gathers numbers of each token, and the sum of such is
added to the scores. Which rows the index chooses is known by its numbers, as that of a bias is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from bertc.foreign.graph import ForeignNode
from bertc.foreign.raising.layout import Atom, Layout, shape_of, split_heads
from bertc.foreign.raising.meanings import (
    ByDistance,
    Control,
    Distances,
    Known,
    Meaning,
    RowProducts,
    Rows,
    Scores,
    View,
)
from bertc.foreign.raising.raiser import Raiser, Rule, rule
from bertc.ir.graph import DType

Array = np.ndarray[Any, Any]


class Tokens(NamedTuple):
    """Queries or keys as attention takes them."""

    rows: Rows
    factor: float
    """What they are multiplied by in the scores, which the rows are not."""


@rule("matmul")
def _with_table(raiser: Raiser, node: ForeignNode, operands: Sequence[Any]) -> Meaning | None:
    x, table = operands
    if not isinstance(x, View) or not isinstance(table, Known | Control) or x.rotary is not None:
        return None
    shape = raiser.shape(node.inputs[1])
    if len(x.layout) < 3 or len(shape) < 3 or split_heads(x.layout[:-2]) is None:
        return None
    kinds = [[atom.kind for atom in axis] for axis in x.layout[-2:]]
    if kinds != [["length"], ["column"]]:
        return None
    return RowProducts(x, node.inputs[1], (*x.layout[:-1], (Atom("row", shape[-1]),)))


@rule("gather_elements")
def _chosen(raiser: Raiser, node: ForeignNode, operands: Sequence[Any]) -> Meaning | None:
    products, index = operands
    if not isinstance(products, RowProducts) or not isinstance(index, Known | Control):
        return None
    view, rank = products.view, len(products.layout)
    heads = split_heads(view.layout[:-2])
    layout = (*products.layout[:-1], (Atom("key", view.layout[-2][0].size),))
    if heads is None or node.attributes["axis"] % rank != rank - 1 or heads[2] > 1:
        return None
    if shape_of(layout) != raiser.shape(node.output):
        return None
    atoms = [atom.kind if atom.kind != "column" else "other" for axis in layout for atom in axis]
    rows = raiser.probes.rows_by_distance(
        node.inputs[1], products.table, shape_of(layout), atoms, raiser.longest_known, heads[1].size
    )
    if rows is None:
        raise raiser.no_op("the numbers that it takes are not chosen by the distance between tokens")
    return Distances((ByDistance(view, rows, view.factor),), layout)


@rule("mul", "div")
def _times(_: Raiser, node: ForeignNode, operands: Sequence[Any]) -> Meaning | None:
    x, other = operands if isinstance(operands[0], Distances) or node.op == "div" else operands[::-1]
    if not isinstance(x, Distances) or not isinstance(other, Known) or not other.scalar:
        return None
    number = other.scalar if node.op == "mul" else 1 / other.scalar
    return dataclasses.replace(x, terms=tuple(each.times(number) for each in x.terms))


@rule("add")
def _sum(_: Raiser, __: ForeignNode, operands: Sequence[Any]) -> Meaning | None:
    """Add up terms, or add them to the scores of contents."""
    a, b = (_by_query(each) if isinstance(each, Distances) else each for each in operands)
    if not isinstance(a, Distances):
        a, b = b, a
    if not isinstance(a, Distances):
        return None
    if isinstance(b, Known):
        return a if b.scalar == 0 else None
    if not isinstance(b, Distances | Scores) or _counts(a.layout) != _counts(b.layout):
        return None
    if isinstance(b, Scores) and b.normalized:
        return None
    return dataclasses.replace(b, terms=(*b.terms, *a.terms))


def _counts(layout: Layout) -> list[list[tuple[str, Any]]]:
    """Return what axes count, wherever the columns of heads are."""
    return [[(atom.kind, atom.size) for atom in axis] for axis in layout]


def _by_query(x: Distances) -> Distances:
    """Return terms with an axis of queries, and then one of keys: tokens whose axis is last are keys."""
    if [[atom.kind for atom in axis] for axis in x.layout[-2:]] != [["key"], ["length"]]:
        return x
    size = x.layout[-1][0].size
    layout: Layout = (*x.layout[:-2], (Atom("length", size),), (Atom("key", size),))
    terms = tuple(dataclasses.replace(each, of_keys=not each.of_keys) for each in x.terms)
    return Distances(terms, layout)


def write(
    raiser: Raiser, attention: str, terms: Sequence[ByDistance], queries: Tokens, keys: Tokens, scale: float
) -> dict[str, str] | None:
    """Write the constants of an attention of some terms, and return its operands.

    ``scale`` is that of the scores of contents. Returns None where terms are not of its queries and keys.
    """
    lines: dict[str, Array] = {}
    for term in terms:
        tokens, operand = (keys, "position_queries") if term.of_keys else (queries, "position_keys")
        heads = split_heads(term.view.layout[:-2])
        view = dataclasses.replace(term.view, factor=1.0)
        same = heads is not None and raiser.part(view, (heads[1], *view.layout[-1])) is tokens.rows
        if not same or operand in lines:
            return None
        by_distance = term.rows[::-1] if term.of_keys else term.rows
        factor = term.scale * tokens.factor / scale
        lines[operand] = by_distance if np.isclose(factor, 1, rtol=1e-6) else by_distance * np.float32(factor)
    if len({len(each) for each in lines.values()}) > 1:
        return None
    changed = np.any([(each[1:] != each[:-1]).any(axis=(1, 2)) for each in lines.values()], axis=0)
    reach = len(changed) // 2
    places = np.flatnonzero(changed) - reach
    if not places.size:
        return None
    least = max(-int(places[0]), int(places[-1]) + 1)
    # What is farther away is not known, or is as what is farthest: no table says how long a text may be.
    raiser.longest = reach + 1 if least == reach else raiser.positions
    inside = slice(reach - least, reach + least)
    buckets = np.concatenate([[0], np.cumsum(changed[inside])]).astype(np.int32)[None]
    kept = np.flatnonzero(np.concatenate([[True], changed[inside]])) + inside.start
    operands = {
        "buckets": raiser.write_constant("buckets", buckets, DType.I32),
        "places": raiser.builder.token_input("places"),
    }
    for operand, line in lines.items():
        table = np.ascontiguousarray(line[kept].reshape(len(kept), -1), np.float32)
        operands[operand] = raiser.builder.constant(f"{attention}.{operand}", table)
    return operands


RULES: tuple[Rule, ...] = (_with_table, _chosen, _times, _sum)
