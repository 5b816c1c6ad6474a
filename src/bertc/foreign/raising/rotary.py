"""Rules for rotary positions: columns of heads, times numbers by place, added up in any order.

What the sum is, is found by its numbers: however an exporter cuts, negates and joins columns, each is in the
end a column times a cosine, plus its partner times a sine.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from bertc.foreign.graph import ForeignNode
from bertc.foreign.raising.layout import Atom, Layout, columns, regroup
from bertc.foreign.raising.meanings import Control, Known, Lookups, Meaning, Term, Turned, View
from bertc.foreign.raising.raiser import Raiser, Rule, column_order, rule

Array = np.ndarray[Any, Any]


@rule("neg")
def _negated(_: Raiser, __: ForeignNode, operands: Sequence[Any]) -> Meaning | None:
    found = _turned(operands[0])
    return None if found is None else _times(found, np.full((1, 1), -1.0))


@rule("mul")
def _by_place(raiser: Raiser, node: ForeignNode, operands: Sequence[Any]) -> Meaning | None:
    """Multiply columns of heads by numbers that depend on the place of a token."""
    flipped = _depends_on_places(operands[0])
    x, other = operands[::-1] if flipped else operands
    found = _turned(x)
    if found is None or not _depends_on_places(other):
        return None
    atoms = [axis[0].kind if axis else "" for axis in found.view.layout]
    numbers = raiser.by_place(node.inputs[0 if flipped else 1], raiser.shape(node.output), atoms)
    return None if numbers is None or not _is_one_axis(found) else _times(found, numbers)


def _depends_on_places(meaning: Any) -> bool:
    meaning = meaning.view if isinstance(meaning, Turned) else meaning
    if isinstance(meaning, View):
        return isinstance(meaning.rows, Lookups) and [*meaning.rows.tables] == ["position"]
    return isinstance(meaning, Control) or (isinstance(meaning, Known) and meaning.scalar is None)


@rule("add", "sub")
def _sum(_: Raiser, node: ForeignNode, operands: Sequence[Any]) -> Meaning | None:
    if not any(isinstance(each, Turned) for each in operands):
        return None
    found = [each for each in map(_turned, operands) if each is not None]
    if len(found) < 2:
        return None
    a, b = _of_one_factor(found)
    if a.view.rows is not b.view.rows or a.view.layout != b.view.layout:
        return None
    if node.op == "sub":
        b = _times(b, np.full((1, 1), -1.0))
    return _settled(Turned(a.view, (*a.terms, *b.terms)))


@rule("unsqueeze")
def _on_an_axis(raiser: Raiser, node: ForeignNode, operands: Sequence[Any]) -> Meaning | None:
    """Give each column an axis of its own, along which others may be put."""
    (x,) = operands
    rank = len(raiser.shape(node.output))
    if not isinstance(x, Turned) or [axis % rank for axis in node.attributes["axes"]] != [rank - 1]:
        return None
    return _with_layout(x, (*x.view.layout, ())) if _is_one_axis(x) else None


@rule("reshape")
def _merged(raiser: Raiser, node: ForeignNode, operands: Sequence[Any]) -> Meaning | None:
    """Merge the axes of pairs and of what is in a pair."""
    x = operands[0]
    layout = regroup(x.view.layout, raiser.shape(node.output)) if isinstance(x, Turned) else None
    if not isinstance(x, Turned) or layout is None or any(atom.kind != "column" for atom in layout[-1]):
        return None
    count = len(x.terms[0].columns)
    if not np.array_equal(column_order(layout[-1], 0), np.arange(count)):
        return None
    return _with_layout(x, (*layout[:-1], columns(count)))


@rule("concat")
def _joined(_: Raiser, node: ForeignNode, operands: Sequence[Any]) -> Meaning | None:
    """Join columns of one head again."""
    found = _of_one_factor([each for each in map(_turned, operands) if each is not None])
    if len(found) < max(len(operands), 2):
        return None
    first = found[0].view
    same = all(each.view.rows is first.rows and each.view.layout[:-1] == first.layout[:-1] for each in found)
    if not same or node.attributes["axis"] % len(first.layout) != len(first.layout) - 1:
        return None
    if not first.layout[-1]:
        return _side_by_side(found)
    widths = [each.view.layout[-1][0].size for each in found]
    total, terms, start = sum(widths), list[Term](), 0
    for each, width in zip(found, widths, strict=True):
        place = np.arange(total) - start
        inside = (place >= 0) & (place < width)
        place = np.where(inside, place, 0)
        terms += [Term(term.columns[place], term.numbers[:, place] * inside) for term in each.terms]
        start += width
    return _settled(Turned(_with_columns(first, total), tuple(terms)))


def _side_by_side(found: Sequence[Turned]) -> Turned:
    """Return columns that alternate: the first ones of all, then the second ones."""
    first, count = found[0].view, len(found)
    size = len(found[0].terms[0].columns)
    place, terms = np.arange(size * count), list[Term]()
    for index, each in enumerate(found):
        inside = place % count == index
        terms += [
            Term(term.columns[place // count], _spread(term.numbers, size)[:, place // count] * inside)
            for term in each.terms
        ]
    axes = (Atom("column", size, count),), (Atom("column", count, 1),)
    return _with_layout(Turned(first, tuple(terms)), (*first.layout[:-2], *axes))


def _spread(numbers: Array, width: int) -> Array:
    return np.broadcast_to(numbers, (len(numbers), width))


def _is_one_axis(turned: Turned) -> bool:
    """Return whether the last axis holds all columns that are turned."""
    last = turned.view.layout[-1]
    return bool(last) and last[0].size == len(turned.terms[0].columns)


def _with_columns(view: View, count: int) -> View:
    """Return a view whose columns are so many neighbors; they may have an axis of one behind theirs."""
    layout = view.layout
    behind: Layout = () if layout[-1] else ((),)
    return View(view.rows, (*layout[: -1 - len(behind)], columns(count), *behind), factor=view.factor)


def _with_layout(turned: Turned, layout: Layout) -> Turned:
    return Turned(dataclasses.replace(turned.view, layout=layout), turned.terms)


def _of_one_factor(found: Sequence[Turned]) -> Sequence[Turned]:
    """Return columns that have the same factor: where they have several, it is part of their terms."""
    if len({each.view.factor for each in found}) <= 1:
        return found
    return [
        _times(
            Turned(dataclasses.replace(each.view, factor=1.0), each.terms), np.full((1, 1), each.view.factor)
        )
        for each in found
    ]


def _turned(meaning: Any) -> Turned | None:
    """Return columns of heads, one axis of them, as a sum of one term; a sum as it is."""
    if isinstance(meaning, Turned):
        return meaning
    if not isinstance(meaning, View) or meaning.rotary is not None or len(meaning.layout) < 3:
        return None
    atoms = [atom for axis in meaning.layout for atom in axis if atom.kind == "column"]
    last = meaning.layout[-1] or meaning.layout[-2]
    if len(last) != 1 or last[0].kind != "column" or last[0].stride not in (1, 2) or len(atoms) > 2:
        return None
    if len(atoms) == 1 and last[0].size == meaning.rows.width and len(meaning.layout) < 4:
        return None  # no heads: rows as they are
    term = Term(column_order(last, meaning.offset), np.ones((1, last[0].size)))
    return Turned(_with_columns(meaning, last[0].size), (term,))


def _times(turned: Turned, numbers: Array) -> Turned:
    terms = (Term(each.columns, each.numbers * numbers) for each in turned.terms)
    return Turned(turned.view, tuple(terms))


def _settled(turned: Turned) -> View | Turned:
    """Return the columns of a head, turned by their positions, if the sum is that."""
    first = min(int(term.columns.min()) for term in turned.terms)
    width = len(turned.terms[0].columns)
    terms = [Term(term.columns - first, _spread(term.numbers, width)) for term in turned.terms]
    for axis in (columns(width), (Atom("column", 2, 1), Atom("column", width // 2, 2))):
        # Queries and keys may have their columns in any order, as long as it is the same.
        order = column_order(axis, 0)
        if not _is_one_axis(turned) or any(not np.isin(term.columns, order).all() for term in terms):
            return turned
        place = np.argsort(order)
        rotary = _rotary([Term(place[term.columns[order]], term.numbers[:, order]) for term in terms], width)
        if rotary is not None:
            layout = (*turned.view.layout[:-1], axis)
            return dataclasses.replace(turned.view, layout=layout, offset=first, rotary=rotary)
    return turned


def _rotary(terms: Sequence[Term], width: int) -> Array | None:
    """Return the angles [places, 2 pairs] of terms of ``width`` columns, None for what is no rotation."""
    places = max(len(term.numbers) for term in terms)
    if places == 1:
        return None  # no angles yet: columns that were negated and joined
    own, other = (np.zeros((places, width)) for _ in range(2))
    here, partner = np.arange(width), np.arange(width)
    for term in terms:
        crossed = (term.columns != here) & term.numbers.any(axis=0)
        if ((partner != here) & crossed & (partner != term.columns)).any():
            return None
        partner = np.where(crossed, term.columns, partner)
        other += np.where(crossed, term.numbers, 0.0)
        own += np.where(crossed, 0.0, term.numbers)
    pairs = int((partner != here).sum()) // 2
    if not pairs or not np.array_equal(
        partner, [*here[pairs : 2 * pairs], *here[:pairs], *here[2 * pairs :]]
    ):
        return None
    left, right = slice(pairs), slice(pairs, 2 * pairs)
    turns = np.array_equal(own[:, left], own[:, right]) and np.array_equal(other[:, left], -other[:, right])
    if not turns or (own[:, 2 * pairs :] != 1).any():
        return None
    return np.concatenate([own[:, left], other[:, right]], axis=1).astype(np.float32)


RULES: tuple[Rule, ...] = (_negated, _by_place, _sum, _on_an_axis, _merged, _joined)
