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
from bertc.foreign.raising.layout import Atom, Layout
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
    flipped = not isinstance(operands[0], View | Turned)
    x, other = operands[::-1] if flipped else operands
    found = _turned(x)
    if found is None or not _depends_on_places(other):
        return None
    atoms = [axis[0].kind if axis else "" for axis in found.view.layout]
    numbers = raiser.by_place(node.inputs[0 if flipped else 1], raiser.shape(node.output), atoms)
    return None if numbers is None else _times(found, numbers)


def _depends_on_places(meaning: Any) -> bool:
    if isinstance(meaning, View):
        return isinstance(meaning.rows, Lookups) and [*meaning.rows.tables] == ["position"]
    return isinstance(meaning, Control) or (isinstance(meaning, Known) and meaning.scalar is None)


@rule("add", "sub")
def _sum(_: Raiser, node: ForeignNode, operands: Sequence[Any]) -> Meaning | None:
    if not any(isinstance(each, Turned) for each in operands):
        return None
    a, b = map(_turned, operands)
    if a is None or b is None or a.view.rows is not b.view.rows or a.view.layout != b.view.layout:
        return None
    if node.op == "sub":
        b = _times(b, np.full((1, 1), -1.0))
    return _settled(Turned(a.view, (*a.terms, *b.terms)))


@rule("concat")
def _joined(_: Raiser, node: ForeignNode, operands: Sequence[Any]) -> Meaning | None:
    """Join columns of one head again."""
    found = [each for each in map(_turned, operands) if each is not None]
    if len(found) < max(len(operands), 2):
        return None
    first = found[0].view
    same = all(each.view.rows is first.rows and each.view.layout[:-1] == first.layout[:-1] for each in found)
    if not same or node.attributes["axis"] % len(first.layout) != len(first.layout) - 1:
        return None
    widths = [each.view.layout[-1][0].size for each in found]
    total, terms, start = sum(widths), list[Term](), 0
    for each, width in zip(found, widths, strict=True):
        place = np.arange(total) - start
        inside = (place >= 0) & (place < width)
        place = np.where(inside, place, 0)
        terms += [Term(term.columns[place], term.numbers[:, place] * inside) for term in each.terms]
        start += width
    return _settled(Turned(_with_columns(first, total), tuple(terms)))


def _with_columns(view: View, count: int) -> View:
    layout: Layout = (*view.layout[:-1], (Atom("column", count, 1),))
    return View(view.rows, layout)


def _turned(meaning: Any) -> Turned | None:
    """Return columns of heads, one axis of them, as a sum of one term; a sum as it is."""
    if isinstance(meaning, Turned):
        return meaning
    if not isinstance(meaning, View) or meaning.rotary is not None or len(meaning.layout) < 3:
        return None
    columns = [atom for axis in meaning.layout for atom in axis if atom.kind == "column"]
    last = meaning.layout[-1]
    if len(last) != 1 or last[0].kind != "column" or last[0].stride != 1 or len(columns) > 2:
        return None
    if len(columns) == 1 and last[0].size == meaning.rows.width and len(meaning.layout) < 4:
        return None  # no heads: rows as they are
    term = Term(column_order(last, meaning.offset), np.full((1, last[0].size), meaning.factor))
    return Turned(_with_columns(meaning, last[0].size), (term,))


def _times(turned: Turned, numbers: Array) -> Turned:
    terms = (Term(each.columns, each.numbers * numbers) for each in turned.terms)
    return Turned(turned.view, tuple(terms))


def _settled(turned: Turned) -> View | Turned:
    """Return the columns of a head, turned by their positions, if the sum is that."""
    first = min(int(term.columns.min()) for term in turned.terms)
    width = turned.view.layout[-1][0].size
    rotary = _rotary([Term(term.columns - first, term.numbers) for term in turned.terms], width)
    return turned if rotary is None else dataclasses.replace(turned.view, offset=first, rotary=rotary)


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


RULES: tuple[Rule, ...] = (_negated, _by_place, _sum, _joined)
