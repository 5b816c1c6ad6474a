"""What no rule takes, for the host: the primitives between rows that native ops can give and take."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from bertc.foreign.graph import Constant, ForeignNode, Tensor, array_of
from bertc.foreign.raising.layout import Axis, Layout, columns, shape_of
from bertc.foreign.raising.meanings import Hosted, HostRows, Known, Meaning, Rows, View
from bertc.foreign.raising.raiser import Raiser, is_native
from bertc.ports import SEQUENCES, TOKENS
from bertc.primitives.dim import Dim, Shape, product
from bertc.primitives.region import (
    DTYPES,
    IDS,
    LENGTH,
    MAX_ROWS,
    ROWS,
    Call,
    Literal,
    Region,
    RegionError,
    RowsOf,
    check,
)

Array = np.ndarray[Any, Any]

_INLINE = 16
"""The elements of a constant that is written into the region; those of others go into the op's numbers."""
_EXACT = 2**24
"""Whole numbers below this are numbers of float32."""


def on_host(raiser: Raiser, node: ForeignNode, reason: str) -> Meaning:
    """Return the meaning of a node that the host computes: rows, if its shape is that of such."""
    shape = raiser.shape(node.output)
    layout = _layout(raiser, shape)
    if layout is None:
        return Hosted(reason)
    width = product(atom.size for axis in layout for atom in axis if atom.kind == "column")
    per_token = any(atom.kind == "length" for axis in layout for atom in axis)
    return View(HostRows(node.output, width, per_token, reason), layout)


def _layout(raiser: Raiser, shape: Shape) -> Layout | None:
    """Return what the axes of rows of tokens or sequences count; None for other shapes."""
    layout: list[Axis] = []
    waiting = [(raiser.batch, raiser.graph.batch), (raiser.length, raiser.graph.length)]
    both = waiting[0][1] * waiting[1][1]
    for place, size in enumerate(shape):
        found = next((each for each in waiting if each[1] == size), None)
        if found is not None:
            waiting.remove(found)
            layout.append(found[0])
        elif len(waiting) == 2 and size == both and isinstance(both, Dim):
            waiting.clear()
            layout.append((*raiser.batch, *raiser.length))
        elif place == len(shape) - 1 and isinstance(size, int):
            layout.append(columns(size))
        elif isinstance(size, int) and size == 1:
            layout.append(())
        else:
            return None
    # Without an axis of sequences it is the same for all, and no row of any.
    return None if any(axis is raiser.batch for axis, _ in waiting) or not layout else tuple(layout)


def write_on_host(raiser: Raiser, output: str, rows: Rows, reason: str) -> str:
    """Write the op that computes a foreign value of rows on the host. Return the value of the IR."""
    region = _Regions(raiser, output).region(reason)
    name = raiser.name("host")
    numbers = sum(product(each.shape) for each in region.numbers)
    if numbers:
        raiser.tensors[f"{name}.numbers"] = Tensor(
            (numbers,), np.dtype(np.float32), lambda: _joined(region.numbers)
        )
    values = {place: raiser.write(each) for place, each in region.rows.items()}
    kinds = {place: RowsOf(each.per_token, each.width) for place, each in region.rows.items()}
    try:
        check(region.region, kinds, numbers, per_token=rows.per_token)
    except RegionError as error:
        raise raiser.error(
            f"{reason}, and the host cannot compute it for any length ({error}): export the model with sizes "
            "that are not fixed"
        ) from None
    return raiser.builder.host(
        name,
        values,
        [each for each in IDS if each in region.region.reads],
        numbers,
        columns=rows.width,
        region=region.region.to_json(),
        rows=TOKENS if rows.per_token else SEQUENCES,
    )


class _Found(NamedTuple):
    """A region, the rows that it reads by its names for them, and its large constants."""

    region: Region
    rows: dict[str, Rows]
    numbers: tuple[Constant, ...]


class _Regions:
    """Collects what a value is made of, back to rows, ids and constants."""

    def __init__(self, raiser: Raiser, output: str) -> None:
        self._raiser, self._output = raiser, output
        self._producers = {node.output: node for node in raiser.graph.nodes}
        self._names: dict[str, str] = {}
        self._rows: dict[str, Rows] = {}
        self._shapes: dict[str, Shape] = {}
        self._constants: dict[str, Literal] = {}
        self._numbers: list[Constant] = []

    def region(self, reason: str) -> _Found:
        """Return the region of the value."""
        needed = self._needed()
        calls = [
            call for node in self._raiser.graph.nodes if node.output in needed for call in self._calls(node)
        ]
        region = Region(self._shapes, self._constants, tuple(calls), self._names[self._output], reason)
        return _Found(region, self._rows, tuple(self._numbers))

    def _needed(self) -> set[str]:
        """Return the values that the host computes, and name those that it reads."""
        needed, waiting = set[str](), [self._output]
        while waiting:
            value = waiting.pop()
            if value in needed or value in self._names:
                continue
            if value == self._output or not self._is_read(value):
                needed.add(value)
                waiting.extend(filter(None, self._producers[value].inputs))
        return needed

    def _is_read(self, value: str) -> bool:
        """Name a value that comes from outside; return whether it does."""
        meaning = self._raiser.meanings[value]
        if value in self._raiser.graph.inputs:
            self._names[value] = value
        elif isinstance(meaning, Known):
            self._names[value] = self._constant(meaning.constant)
        elif isinstance(meaning, View) and shape_of(meaning.layout) == self._raiser.shape(value):
            rows = self._raiser.whole(meaning)
            if rows is not None and is_native(rows):
                self._names[value] = self._read(rows, meaning.layout)
        return value in self._names

    def _read(self, rows: Rows, layout: Layout) -> str:
        if len(self._rows) == MAX_ROWS:
            raise self._raiser.error(f"it reads more than {MAX_ROWS} hidden states at once on the host")
        name = ROWS[len(self._rows)]
        self._rows[name] = rows
        sizes = {"batch": 1, "length": LENGTH}
        self._shapes[name] = tuple(
            product(sizes.get(atom.kind, atom.size) for atom in axis) for axis in layout
        )
        return name

    def _calls(self, node: ForeignNode) -> Iterator[Call]:
        inputs = [self._names[name] for name in node.inputs if name]
        name = self._names[node.output] = f"v{len(self._names)}"
        op, attributes = node.op, dict(node.attributes)
        if op == "full":
            inputs.insert(0, self._constant(np.asarray(attributes.pop("value")).reshape(())))
            op = "expand"
        yield Call(op, tuple(inputs), name, MappingProxyType(_plain(attributes)), str(node))

    def _constant(self, constant: Constant) -> str:
        name = f"c{len(self._constants)}"
        self._constants[name] = self._literal(constant)
        return name

    def _literal(self, constant: Constant) -> Literal:
        shape, dtype = tuple(constant.shape), str(constant.dtype)
        if dtype == "object":
            return Literal("size", shape, tuple(map(_of_one_sequence, array_of(constant).ravel().tolist())))
        if dtype not in DTYPES:
            raise self._raiser.error(f"the host knows no constants of {dtype}")
        size = product(shape)
        if size <= _INLINE and np.isfinite(array_of(constant)).all():
            return Literal(dtype, shape, tuple(array_of(constant).ravel().tolist()))
        if constant.dtype.kind in "iu" and (np.abs(array_of(constant)) > _EXACT).any():
            raise self._raiser.error("it has a table of whole numbers that are too large for the host")
        start = sum(product(each.shape) for each in self._numbers)
        self._numbers.append(constant)
        return Literal(dtype, shape, None, start)


def _joined(constants: tuple[Constant, ...]) -> Array:
    return np.concatenate([array_of(each).astype(np.float32).ravel() for each in constants])


def _plain(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return attributes as numbers, texts and tuples of Python."""

    def plain(value: Any) -> Any:
        if isinstance(value, (tuple, list)):
            return tuple(map(plain, value))
        return value.item() if isinstance(value, np.generic) else value

    return {name: plain(value) for name, value in attributes.items()}


def _of_one_sequence(size: Any) -> Any:
    """Return a size for one sequence."""
    if not isinstance(size, Dim):
        return int(size)
    terms: Any = 0
    for symbols, count in size.terms:
        terms = terms + product([count, *(LENGTH for symbol in symbols if symbol == str(LENGTH))])
    return terms
