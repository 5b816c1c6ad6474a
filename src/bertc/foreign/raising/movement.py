"""Rules for what only moves elements: it changes the layout, or chooses columns."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, TypeGuard

from bertc.foreign.graph import ForeignNode
from bertc.foreign.raising.layout import Layout, columns, regroup, repeat, shape_of
from bertc.foreign.raising.meanings import (
    Control,
    Distances,
    Known,
    Masked,
    Meaning,
    Product,
    Scores,
    View,
    Written,
)
from bertc.foreign.raising.raiser import Raiser, Rule, rule
from bertc.primitives.movement import slice_bounds

_Laid = View | Scores | Distances
"""What has a layout that may be another."""


def with_layout(meaning: _Laid, layout: Layout) -> _Laid:
    """Return the same in another layout."""
    return dataclasses.replace(meaning, layout=layout)


@rule("reshape")
def _reshape(raiser: Raiser, node: ForeignNode, operands: Sequence[Any]) -> Meaning | None:
    x = operands[0]
    if not isinstance(x, _Laid):
        return None
    layout = regroup(x.layout, raiser.shape(node.output))
    return None if layout is None else with_layout(x, layout)


@rule("transpose")
def _transpose(_: Raiser, node: ForeignNode, operands: Sequence[Any]) -> Meaning | None:
    (x,) = operands
    if not isinstance(x, _Laid):
        return None
    return with_layout(x, tuple(x.layout[axis] for axis in node.attributes["perm"]))


@rule("unsqueeze")
def _unsqueeze(raiser: Raiser, node: ForeignNode, operands: Sequence[Any]) -> Meaning | None:
    (x,) = operands
    if not isinstance(x, _Laid):
        return None
    rank = len(raiser.shape(node.output))
    places = {axis % rank for axis in node.attributes["axes"]}
    rest = iter(x.layout)
    return with_layout(x, tuple(() if axis in places else next(rest) for axis in range(rank)))


@rule("squeeze")
def _squeeze(_: Raiser, node: ForeignNode, operands: Sequence[Any]) -> Meaning | None:
    (x,) = operands
    if not isinstance(x, _Laid):
        return None
    axes = node.attributes["axes"]
    rank = len(x.layout)
    places = {
        axis
        for axis, atoms in enumerate(x.layout)
        if all(atom.kind == "column" and atom.size == 1 for atom in atoms)
    }
    if axes is not None:
        places &= {axis % rank for axis in axes}
        if len(places) < len(axes):
            return None
    return with_layout(x, tuple(atoms for axis, atoms in enumerate(x.layout) if axis not in places))


@rule("cast", "expand")
def _same(raiser: Raiser, node: ForeignNode, operands: Sequence[Any]) -> Meaning | None:
    x = operands[0]
    if not isinstance(x, _Laid | Masked):
        return None
    if node.op == "cast":
        return x if node.attributes["to"] == "float32" else None
    if isinstance(x, View) and x.rows.width == 1 and len(raiser.shape(node.output)) == len(x.layout):
        return x  # a number for each row, which is spread over columns where it is used
    if isinstance(x, View):
        layout = repeat(x.layout, raiser.shape(node.output))
        return None if layout is None else with_layout(x, layout)
    same = not isinstance(x, Masked) and raiser.shape(node.output) == shape_of(x.layout)
    return x if same else None


@rule("slice")
def _columns(raiser: Raiser, node: ForeignNode, operands: Sequence[Any]) -> Meaning | None:
    """Choose a range of columns, of heads, or of queries, keys and values in one product."""
    x = operands[0]
    if not _has_columns(x) or not all(isinstance(each, Known) for each in operands[1:]):
        return None
    layout, offset = [*x.layout], x.offset
    axes, steps = node.attributes["axes"], node.attributes["steps"]
    starts, stops = (each.array.ravel().tolist() for each in operands[1:])
    for axis, start, stop, step in zip(axes, starts, stops, steps, strict=True):
        place = axis % len(layout)
        size = raiser.shape(node.inputs[0])[place]
        begin, end = slice_bounds(size, start, stop)
        if (begin, end, step) == (0, size, 1):
            continue
        atoms = layout[place]
        if step < 1 or len(atoms) != 1 or atoms[0].kind != "column":
            return None
        offset += begin * atoms[0].stride
        count = -(-(end - begin) // step)
        layout[place] = (dataclasses.replace(atoms[0], size=count, stride=atoms[0].stride * step),)
    return _part(raiser, dataclasses.replace(x, layout=tuple(layout), offset=offset))


@rule("chunk")
def _chunk(raiser: Raiser, node: ForeignNode, operands: Sequence[Any]) -> Meaning | None:
    """Choose one of equal parts of the columns."""
    (x,) = operands
    place = node.attributes["axis"] % len(raiser.shape(node.output))
    if not _has_columns(x) or len(x.layout[place]) != 1 or x.layout[place][0].kind != "column":
        return None
    (atom,) = x.layout[place]
    size = raiser.shape(node.output)[place]
    start = node.attributes["index"] * -(-atom.size // node.attributes["count"])
    axis = (dataclasses.replace(atom, size=size),)
    layout = (*x.layout[:place], axis, *x.layout[place + 1 :])
    return _part(raiser, dataclasses.replace(x, layout=layout, offset=x.offset + start * atom.stride))


def _has_columns(x: Any) -> TypeGuard[View]:
    """Return whether columns may be chosen: not of heads whose columns are turned in pairs."""
    return isinstance(x, View) and x.rotary is None


def _part(raiser: Raiser, view: View) -> View:
    """Return a part of a linear layer's columns as the layer that it is, before any are those of heads.

    One column alone stays a part: a head's layer gives several such answers, as of starts and ends.
    """
    last = view.layout[-1]
    rows = raiser.rows_of(view) if len(last) == 1 and len(view.layout) < 4 else None
    if not isinstance(rows, Product) or rows is view.rows or rows.width == 1:
        return view
    return View(rows, (*view.layout[:-1], columns(rows.width)))


@rule("gather")
def _one_column(_: Raiser, node: ForeignNode, operands: Sequence[Any]) -> Meaning | None:
    x, index = operands
    if not _has_columns(x) or not isinstance(index, Known) or index.scalar is None:
        return None
    place = node.attributes["axis"] % len(x.layout)
    atoms = x.layout[place]
    if len(atoms) != 1 or atoms[0].kind != "column":
        return None
    offset = x.offset + int(index.scalar) % atoms[0].size * atoms[0].stride
    axis: tuple[Any, ...] = ((),) * len(index.constant.shape)
    return dataclasses.replace(x, layout=(*x.layout[:place], *axis, *x.layout[place + 1 :]), offset=offset)


@rule("concat")
def _concat(raiser: Raiser, node: ForeignNode, operands: Sequence[Any]) -> Meaning | None:
    """Put columns side by side; of one operand, that is the operand."""
    if len(operands) == 1:
        return operands[0] if isinstance(operands[0], View | Control) else None
    rows = [each for each in map(raiser.rows_of, operands) if each is not None]
    if (
        len(rows) < len(operands)
        or node.attributes["axis"] % len(operands[0].layout) != len(operands[0].layout) - 1
    ):
        return None
    total, width = raiser.write(rows[0]), rows[0].width
    for each in rows[1:]:
        width += each.width
        total = raiser.builder.concat(raiser.name("concat"), total, raiser.write(each))
    written = Written(total, width, operands[0].rows.per_token)
    return raiser.tokens(written) if written.per_token else raiser.sequences(written)


RULES: tuple[Rule, ...] = (
    _reshape,
    _transpose,
    _unsqueeze,
    _squeeze,
    _same,
    _columns,
    _chunk,
    _one_column,
    _concat,
)
