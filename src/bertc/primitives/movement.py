"""Primitives that put elements elsewhere: reshape, transpose, gather, concat, slice and their kin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bertc.primitives.dim import Dim, Shape, UnknownSizeError, product
from bertc.primitives.primitive import (
    AXES,
    FLAG,
    INTEGER,
    INTEGERS,
    Operand,
    Primitive,
    ShapeError,
    axis_of,
    broadcast,
    spell,
)

Array = np.ndarray[Any, Any]
Attributes = Mapping[str, Any]
_FAR = 2**31
"""A bound of a slice beyond this means the end."""


def target_shape(shape: Shape, wanted: Sequence[Any], keep_zeros: bool) -> Shape:
    """Return the shape that a reshape gives: 0 copies a size (or is one), one -1 takes what is left."""
    sizes = [
        shape[axis] if isinstance(size, int) and size == 0 and not keep_zeros else size
        for axis, size in enumerate(wanted)
    ]
    free = [axis for axis, size in enumerate(sizes) if isinstance(size, int) and size == -1]
    rest = product(size for axis, size in enumerate(sizes) if axis not in free)
    try:
        if len(free) == 1:
            sizes[free[0]] = product(shape) // rest
        fits = len(free) <= 1 and product(sizes) == product(shape)
    except (UnknownSizeError, ZeroDivisionError):
        fits = False
    if not fits:
        raise ShapeError(f"{spell(shape)} cannot become {spell(tuple(wanted))}")
    return tuple(sizes)


def _reshape(x: Array, shape: Array, *, keep_zeros: bool = False) -> Array:
    return x.reshape(target_shape(x.shape, shape.tolist(), keep_zeros))


def _reshape_rule(operands: Sequence[Operand], attributes: Attributes) -> Shape:
    return target_shape(operands[0].shape, operands[1].numbers(), bool(attributes.get("keep_zeros")))


def _transpose(x: Array, *, perm: Sequence[int]) -> Array:
    return x.transpose(perm)


def _transpose_rule(operands: Sequence[Operand], attributes: Attributes) -> Shape:
    shape, perm = operands[0].shape, attributes["perm"]
    if sorted(perm) != [*range(len(shape))]:
        raise ShapeError(f"the axes of {spell(shape)} cannot be ordered as {list(perm)}")
    return tuple(shape[axis] for axis in perm)


def _gather(x: Array, indices: Array, *, axis: int) -> Array:
    return np.take(x, indices.astype(np.int64), axis=axis)


def _gather_rule(operands: Sequence[Operand], attributes: Attributes) -> Shape:
    data, indices = operands[0].shape, operands[1].shape
    axis = axis_of(attributes["axis"], len(data))
    return (*data[:axis], *indices, *data[axis + 1 :])


def _gather_elements(x: Array, indices: Array, *, axis: int) -> Array:
    return np.take_along_axis(x, indices.astype(np.int64), axis=axis)


def _gather_nd(x: Array, indices: Array) -> Array:
    return np.asarray(x[tuple(np.moveaxis(indices.astype(np.int64), -1, 0))])


def _gather_nd_rule(operands: Sequence[Operand], _: Attributes) -> Shape:
    data, indices = operands[0].shape, operands[1].shape
    if not isinstance(indices[-1], int):
        raise ShapeError(f"indices {spell(indices)} of GatherND end in no number")
    return (*indices[:-1], *data[indices[-1] :])


def _concat(*arrays: Array, axis: int) -> Array:
    return np.concatenate(arrays, axis=axis)


def _concat_rule(operands: Sequence[Operand], attributes: Attributes) -> Shape:
    first = operands[0].shape
    axis = axis_of(attributes["axis"], len(first))
    total = sum((operand.shape[axis] for operand in operands[1:]), first[axis])
    return (*first[:axis], total, *first[axis + 1 :])


def slice_bounds(size: Any, start: Any, stop: Any) -> tuple[Any, Any]:
    """Return the bounds of a slice with step 1, as NumPy understands them. Symbols are taken to be within."""

    def bound(value: Any) -> Any:
        if isinstance(value, Dim):
            return value
        if value >= _FAR:
            return size
        if value < 0:
            return 0 if value <= -_FAR or (isinstance(size, int) and value < -size) else size + value
        return min(value, size) if isinstance(size, int) else value

    return bound(start), bound(stop)


def _slice(x: Array, starts: Array, ends: Array, *, axes: Sequence[int], steps: Sequence[int]) -> Array:
    cut = [slice(None)] * x.ndim
    for axis, start, stop, step in zip(
        axes, starts.ravel().tolist(), ends.ravel().tolist(), steps, strict=True
    ):
        begin, end = slice_bounds(x.shape[axis], start, stop) if step > 0 else (start, stop)
        if step < 0 and end < -x.shape[axis]:
            end = None
        cut[axis] = slice(begin, end, step)
    return x[tuple(cut)]


def _slice_rule(operands: Sequence[Operand], attributes: Attributes) -> Shape:
    shape = [*operands[0].shape]
    starts, stops = operands[1].numbers(), operands[2].numbers()
    for axis, start, stop, step in zip(attributes["axes"], starts, stops, attributes["steps"], strict=True):
        place = axis_of(axis, len(shape))
        begin, end = slice_bounds(shape[place], start, stop)
        if step > 0:
            length = end - begin
        elif isinstance(shape[place], int):
            length = len(range(shape[place])[slice(start, stop if stop >= -shape[place] else None, step)])
            begin, step = 0, 1
        else:
            raise ShapeError("a slice that goes backwards over a size that is not fixed")
        if isinstance(length, int):
            length = max(0, length)
        if step > 1:
            if not isinstance(length, int):
                raise ShapeError("a slice with steps over a size that is not fixed")
            length = -(-length // step)
        shape[place] = length
    return tuple(shape)


def _chunk(x: Array, *, axis: int, index: int, count: int) -> Array:
    size = -(-x.shape[axis] // count)
    return x[
        tuple(
            slice(index * size, (index + 1) * size) if each == axis % x.ndim else slice(None)
            for each in range(x.ndim)
        )
    ]


def _chunk_rule(operands: Sequence[Operand], attributes: Attributes) -> Shape:
    shape = operands[0].shape
    place, count, index = axis_of(attributes["axis"], len(shape)), attributes["count"], attributes["index"]
    if not isinstance(shape[place], int):
        raise ShapeError("a split into equal parts of a size that is not fixed")
    size = -(-shape[place] // count)
    return (*shape[:place], min(size, shape[place] - index * size), *shape[place + 1 :])


def _unsqueeze(x: Array, *, axes: Sequence[int]) -> Array:
    return np.expand_dims(x, tuple(axes))


def _unsqueeze_rule(operands: Sequence[Operand], attributes: Attributes) -> Shape:
    shape, axes = operands[0].shape, attributes["axes"]
    rank = len(shape) + len(axes)
    places = {axis_of(axis, rank) for axis in axes}
    if len(places) != len(axes):
        raise ShapeError(f"axes {list(axes)} name one twice")
    rest = iter(shape)
    return tuple(1 if axis in places else next(rest) for axis in range(rank))


def _squeeze(x: Array, *, axes: Sequence[int] | None) -> Array:
    return np.squeeze(x, None if axes is None else tuple(axes))


def _squeeze_rule(operands: Sequence[Operand], attributes: Attributes) -> Shape:
    shape, axes = operands[0].shape, attributes["axes"]
    places = {axis for axis, size in enumerate(shape) if size == 1}
    if axes is not None:
        places &= {axis_of(axis, len(shape)) for axis in axes}
    return tuple(size for axis, size in enumerate(shape) if axis not in places)


def _expand(x: Array, shape: Array) -> Array:
    return np.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(shape.tolist())))


def _expand_rule(operands: Sequence[Operand], _: Attributes) -> Shape:
    return broadcast(operands[0].shape, tuple(operands[1].numbers()))


def _tile(x: Array, repeats: Array) -> Array:
    return np.tile(x, repeats.tolist())


def _tile_rule(operands: Sequence[Operand], _: Attributes) -> Shape:
    return tuple(size * times for size, times in zip(operands[0].shape, operands[1].numbers(), strict=True))


def _pad(x: Array, pads: Array, value: Array) -> Array:
    before, after = pads.reshape(2, -1).tolist()
    return np.pad(x, [*zip(before, after, strict=True)], constant_values=value.item())


def _pad_rule(operands: Sequence[Operand], _: Attributes) -> Shape:
    shape, pads = operands[0].shape, operands[1].numbers()
    return tuple(size + pads[axis] + pads[axis + len(shape)] for axis, size in enumerate(shape))


def _trilu(x: Array, *, upper: bool, k: int) -> Array:
    return np.triu(x, k) if upper else np.tril(x, k)


def _trilu_rule(operands: Sequence[Operand], _: Attributes) -> Shape:
    if len(operands[0].shape) < 2:
        raise ShapeError(f"{spell(operands[0].shape)} is no matrix")
    return operands[0].shape


def _indices(operands: Sequence[Operand], _: Attributes) -> Shape:
    return operands[1].shape


ROWS = (
    Primitive("reshape", _reshape, _reshape_rule, {"keep_zeros": FLAG}),
    Primitive("transpose", _transpose, _transpose_rule, {"perm": INTEGERS}),
    Primitive("gather", _gather, _gather_rule, {"axis": INTEGER}),
    Primitive("gather_elements", _gather_elements, _indices, {"axis": INTEGER}),
    Primitive("gather_nd", _gather_nd, _gather_nd_rule),
    Primitive("concat", _concat, _concat_rule, {"axis": INTEGER}),
    Primitive("slice", _slice, _slice_rule, {"axes": INTEGERS, "steps": INTEGERS}),
    Primitive("chunk", _chunk, _chunk_rule, {"axis": INTEGER, "index": INTEGER, "count": INTEGER}),
    Primitive("unsqueeze", _unsqueeze, _unsqueeze_rule, {"axes": INTEGERS}),
    Primitive("squeeze", _squeeze, _squeeze_rule, {"axes": AXES}),
    Primitive("expand", _expand, _expand_rule),
    Primitive("tile", _tile, _tile_rule),
    Primitive("pad", _pad, _pad_rule),
    Primitive("trilu", _trilu, _trilu_rule, {"upper": FLAG, "k": INTEGER}),
)
