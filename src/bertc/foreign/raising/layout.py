"""How a foreign value lays out rows and columns along its axes.

Each axis is a product of atoms: sequences, tokens, or a part of the columns. Reshape regroups atoms, and
splits those of the columns; transpose orders axes anew. So heads, merged or apart, are only another layout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bertc.primitives.dim import Shape, UnknownSizeError, product


@dataclass(frozen=True)
class Atom:
    """What an axis, or a part of one, counts."""

    kind: str
    """``batch``, ``length``, ``key`` (the tokens that a score is about) or ``column``."""
    size: Any
    stride: int = 0
    """Of a column: how far apart two neighbors are in the row; 0 for the same columns several times."""


Axis = tuple[Atom, ...]
Layout = tuple[Axis, ...]


def columns(width: int) -> Axis:
    """Return the axis of all columns of a row."""
    return (Atom("column", width, 1),)


def shape_of(layout: Layout) -> Shape:
    """Return the sizes of the axes."""
    return tuple(product(atom.size for atom in axis) for axis in layout)


def regroup(layout: Layout, shape: Shape) -> Layout | None:
    """Return the layout after a reshape, or None if an axis would hold a part of a token or sequence."""
    rest = [atom for axis in layout for atom in axis]
    result: list[Axis] = []
    for size in shape:
        axis: list[Atom] = []
        missing = size
        while rest and (missing != 1 or (not axis and _is_one(rest[0].size))):
            taken, left = _take(rest[0], missing)
            if taken is None:
                return None
            axis.append(taken)
            rest[:1] = [left] if left is not None else []
            missing = missing // taken.size
        if missing != 1:
            return None
        result.append(tuple(axis))
    if rest and any(not _is_one(atom.size) for atom in rest):
        return None
    return (*result[:-1], (*result[-1], *rest)) if rest else tuple(result)


def _is_one(size: Any) -> bool:
    return isinstance(size, int) and size == 1


def _take(atom: Atom, missing: Any) -> tuple[Atom | None, Atom | None]:
    """Return as much of an atom as an axis can take, and what is left of it."""
    try:
        missing // atom.size
    except UnknownSizeError:
        return None, None
    if isinstance(missing, int) and isinstance(atom.size, int):
        if missing % atom.size == 0:
            return atom, None
        if atom.kind != "column" or atom.size % missing:
            return None, None
        inner = atom.size // missing
        return Atom("column", missing, atom.stride * inner), Atom("column", inner, atom.stride)
    return atom, None


def align(first: Layout, second: Layout) -> Layout | None:
    """Return the layout of an elementwise op on two values, or None if their axes count different things."""
    rank = max(len(first), len(second))
    padded = [((),) * (rank - len(each)) + each for each in (first, second)]
    result = []
    for a, b in zip(*padded, strict=True):
        if a and b and a != b:
            return None
        result.append(a or b)
    return tuple(result)


def repeat(layout: Layout, shape: Shape) -> Layout | None:
    """Return the layout after axes of one element became axes of several, None if another became longer."""
    if len(shape) != len(layout):
        return None
    before, result = shape_of(layout), []
    for axis, size, wanted in zip(layout, before, shape, strict=True):
        if size != wanted and not (_is_one(size) and isinstance(wanted, int)):
            return None
        result.append(axis if size == wanted else (Atom("column", wanted, 0),))
    return tuple(result)


def split_heads(leading: Sequence[Axis]) -> tuple[Atom, Atom, int] | None:
    """Return the atoms of sequences and of heads, and how often each head is repeated.

    That is if the leading axes of an operand of attention hold these. Heads of one element may have no atom.
    """
    atoms = [atom for axis in leading for atom in axis]
    times = 1
    if atoms and atoms[-1].kind == "column" and not atoms[-1].stride and not _is_one(atoms[-1].size):
        times = atoms.pop().size
    if len(atoms) == 1:
        atoms.append(Atom("column", 1))
    if [atom.kind for atom in atoms] != ["batch", "column"]:
        return None
    return atoms[0], atoms[1], times
