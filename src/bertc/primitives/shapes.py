"""Primitives that speak of shapes: the shape of a value, values made of a shape, and masks of tokens."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bertc.primitives.dim import Shape
from bertc.primitives.primitive import Operand, Primitive, ShapeError, same

Array = np.ndarray[Any, Any]


def _shape(x: Array, *, start: int, end: int | None) -> Array:
    return np.array(x.shape[start:end], np.int64)


def _shape_rule(operands: Sequence[Operand], attributes: Mapping[str, Any]) -> Shape:
    return (len(operands[0].shape[attributes["start"] : attributes["end"]]),)


def _range(start: Array, limit: Array, delta: Array) -> Array:
    return np.arange(start.item(), limit.item(), delta.item(), dtype=start.dtype)


def _range_rule(operands: Sequence[Operand], _: Mapping[str, Any]) -> Shape:
    (start,), (limit,), (delta,) = (operand.numbers() for operand in operands)
    if delta == 1:
        return (limit - start,)
    if any(not isinstance(each, int | float) for each in (start, limit, delta)):
        raise ShapeError("a range with steps up to a size that is not fixed")
    return (max(0, math.ceil((limit - start) / delta)),)


def _full(shape: Array, *, value: Array) -> Array:
    return np.full(tuple(shape.tolist()), value.item(), value.dtype)


def _full_rule(operands: Sequence[Operand], _: Mapping[str, Any]) -> Shape:
    return tuple(operands[0].numbers())


def _key_mask(mask: Array, length: Array) -> Array:
    """Say which of ``length`` tokens count, by a mask of them [batch, length] or by how many do [batch]."""
    if mask.ndim == 1:
        return np.asarray(np.arange(length.item()) < mask[:, None])
    return mask.astype(bool)


def _key_mask_rule(operands: Sequence[Operand], _: Mapping[str, Any]) -> Shape:
    mask, (length,) = operands[0].shape, operands[1].numbers()
    if len(mask) == 1 or (len(mask) == 2 and mask[1] == length):
        return (mask[0], length)
    raise ShapeError("a mask that is neither of tokens nor of lengths")


def _score_mask(mask: Array) -> Array:
    """Return what is added to scores for a mask: of floats the same, of booleans very low if false."""
    if mask.dtype != bool:
        return mask
    return np.where(mask, np.float32(0), np.finfo(np.float32).min)


ROWS = (
    Primitive("score_mask", _score_mask, same),
    Primitive("key_mask", _key_mask, _key_mask_rule),
    Primitive("shape", _shape, _shape_rule, None),
    Primitive("range", _range, _range_rule),
    Primitive("full", _full, _full_rule, None),
)
