"""Rules for linear layers, residuals, norms, and for expressions that turn out to be activations."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from bertc.foreign.graph import ForeignNode, Tensor
from bertc.foreign.raising.layout import Axis, align, columns
from bertc.foreign.raising.meanings import Expression, Known, Lookups, Meaning, Product, Rows, View, Written
from bertc.foreign.raising.raiser import Raiser, Rule, as_tensor, rule, scale
from bertc.foreign.raising.recognize import Affine, LayerNorm, base_of, recognize
from bertc.primitives.dim import product
from bertc.primitives.elementwise import BINARY, UNARY


@rule("matmul")
def _linear(raiser: Raiser, _: ForeignNode, operands: Sequence[Any]) -> Meaning | None:
    x, weight = operands
    rows = raiser.rows_of(x)
    if rows is None or not isinstance(weight, Known) or len(weight.constant.shape) != 2:
        return None
    product = _product(raiser, rows, as_tensor(weight, weight.constant.shape))
    return View(product, (*x.layout[:-1], columns(product.width)))


def _product(raiser: Raiser, rows: Rows, weight: Tensor) -> Product:
    """Return a linear layer of rows, with what changes the columns before it, as quantizers do, in it."""
    if isinstance(rows, Expression) and rows.value is None:
        found, base = recognize(rows), base_of(rows)
        if isinstance(found, Affine) and base is not None and not isinstance(base, Product):
            multiplier, offset = found.multiplier[:, None], found.offset
            raiser.write(base)
            changed = Tensor(
                weight.shape, weight.dtype, lambda: np.asarray(weight.array() * multiplier, np.float32)
            )
            shift = Tensor(
                weight.shape[1:], weight.dtype, lambda: np.asarray(offset @ weight.array(), np.float32)
            )
            return Product(base, changed, shift if np.any(offset) else None)
    raiser.write(rows)
    return Product(rows, weight)


@rule("add", "mul", "div", "sub")
def _per_column(raiser: Raiser, node: ForeignNode, operands: Sequence[Any]) -> Meaning | None:
    """Fold a bias, or a scale, of each column into the linear layer before it."""
    flipped = isinstance(operands[0], Known)
    x, other = operands[::-1] if flipped else operands
    rows = raiser.whole(x)
    if rows is None or not isinstance(other, Known) or (flipped and node.op in ("div", "sub")):
        return None
    vector = other.vector(rows.width)
    if vector is None or not vector.ndim or rows.value is not None:
        return None
    one, zero = np.float64(1), np.float64(0)
    if node.op == "add" and isinstance(rows, Product) and rows.bias is None:
        folded: Product | None = Product(rows.x, rows.weight, as_tensor(other, (rows.width,)))
    elif node.op in ("add", "sub"):
        folded = scale(rows, one, vector if node.op == "add" else -vector)
    else:
        folded = scale(rows, vector if node.op == "mul" else 1 / vector, zero)
    return None if folded is None else dataclasses.replace(x, rows=folded)


@rule("add")
def _bias_of_heads(raiser: Raiser, _: ForeignNode, operands: Sequence[Any]) -> Meaning | None:
    """Fold a bias into the part of a linear layer that heads are, as a layer of its own."""
    x, other = operands[::-1] if isinstance(operands[0], Known) else operands
    if (
        not isinstance(x, View)
        or not isinstance(other, Known)
        or other.scalar is not None
        or x.rotary is not None
    ):
        return None
    atoms = [atom for axis in x.layout for atom in axis if atom.kind == "column"]
    part = raiser.part(x, atoms)
    own = [product(atom.size for atom in axis if atom.kind == "column") for axis in x.layout]
    shape = other.constant.shape
    if not isinstance(part, Product) or len(shape) > len(own) or any(not atom.stride for atom in atoms):
        return None
    if any(size not in (1, wanted) for size, wanted in zip(shape[::-1], own[::-1], strict=False)):
        return None
    vector = np.broadcast_to(np.asarray(other.array, np.float64), own).reshape(-1)
    rows, width, layout = scale(part, np.float64(1), vector), part.width, list[Axis]()
    for axis in x.layout:
        strides = []
        for atom in axis:
            width = width // atom.size if atom.kind == "column" else width
            strides.append(dataclasses.replace(atom, stride=width) if atom.kind == "column" else atom)
        layout.append(tuple(strides))
    return None if rows is None else View(rows, tuple(layout))


@rule("mul", "div")
def _factor(raiser: Raiser, node: ForeignNode, operands: Sequence[Any]) -> Meaning | None:
    """Remember a number that heads, or a part of the columns, are multiplied by."""
    x, other = operands if isinstance(operands[0], View) or node.op == "div" else operands[::-1]
    if not isinstance(x, View) or not isinstance(other, Known) or not other.scalar or raiser.whole(x):
        return None
    number = other.scalar if node.op == "mul" else 1 / other.scalar
    return dataclasses.replace(x, factor=x.factor * number)


@rule(*BINARY)
def _binary(raiser: Raiser, node: ForeignNode, operands: Sequence[Any]) -> Meaning | None:
    """Combine rows with constants, with themselves, or (a sum alone) with other rows."""
    views = [each for each in operands if isinstance(each, View)]
    if not views:
        return None
    for each, name in zip(operands, node.inputs, strict=True):
        if isinstance(each, View) and raiser.uses[name] > 1 and _is_norm(each.rows):
            raiser.write(each.rows)  # what others read: a change of its columns is no part of it
    rows = [raiser.whole(each) if isinstance(each, View) else _constant(each, views) for each in operands]
    if any(each is None for each in rows):
        return None
    layout = views[0].layout if len(views) == 1 else align(views[0].layout, views[1].layout)
    if layout is None:
        return None
    width = max(each.width if isinstance(each, Rows) else each.size for each in rows if each is not None)
    if not layout[-1]:
        layout = (*layout[:-1], columns(width) if width > 1 else ())
    a, b = rows
    if isinstance(a, Rows) and isinstance(b, Rows) and base_of(a) is not base_of(b):
        if node.op != "add" or a.width != b.width or a.per_token != b.per_token:
            return None
        if not any(isinstance(each, Product | Lookups) for each in (a, b)):
            return None  # no kernel adds what is in no linear layer's epilogue
        total = raiser.builder.add(raiser.name("add"), raiser.write(a), raiser.write(b))
        return View(Written(total, width, a.per_token), layout)
    operands_of: tuple[Any, ...] = tuple(rows)
    return View(Expression(node.op, operands_of, node.attributes, width), layout)


def _is_norm(rows: Rows) -> bool:
    return isinstance(rows, Expression) and rows.value is None and isinstance(recognize(rows), LayerNorm)


def _constant(meaning: Any, views: Sequence[View]) -> Any:
    """Return a constant as a number or a vector with an element for each column."""
    if not isinstance(meaning, Known) or meaning.constant.dtype.kind not in "fiu":
        return None
    if len(meaning.constant.shape) > len(views[0].layout):
        return None
    width = views[0].rows.width
    if width == 1 and meaning.constant.shape:  # of a number for each row, that makes columns
        width = meaning.constant.shape[-1]
    return meaning.vector(width)


@rule(*UNARY)
def _unary(raiser: Raiser, node: ForeignNode, operands: Sequence[Any]) -> Meaning | None:
    rows = raiser.whole(operands[0])
    if rows is None:
        return None
    return View(Expression(node.op, (rows,), node.attributes, rows.width), operands[0].layout)


@rule("reduce_sum", "reduce_mean", "reduce_l2")
def _over_columns(raiser: Raiser, node: ForeignNode, operands: Sequence[Any]) -> Meaning | None:
    (x,) = operands
    rows, axes = raiser.whole(x), node.attributes["axes"]
    if rows is None or axes is None or [axis % len(x.layout) for axis in axes] != [len(x.layout) - 1]:
        return None
    statistic = Expression(node.op, (raiser.settle(rows),), {"axes": (-1,), "keepdims": True}, 1)
    return View(statistic, (*x.layout[:-1], ()) if node.attributes["keepdims"] else x.layout[:-1])


@rule("layer_norm")
def _layer_norm(raiser: Raiser, node: ForeignNode, operands: Sequence[Any]) -> Meaning | None:
    x, gamma, beta = operands
    rows = raiser.rows_of(x)
    if rows is None or not isinstance(gamma, Known) or not isinstance(beta, Known):
        return None
    vectors = [each.vector(rows.width) for each in (gamma, beta)]
    if any(each is None for each in vectors):
        return None
    scale_, shift = (np.broadcast_to(np.asarray(each), (rows.width,)) for each in vectors)
    norm = LayerNorm(scale_, shift, float(node.attributes["epsilon"]))
    return View(Written(raiser.write_norm(raiser.write(rows), norm), rows.width, rows.per_token), x.layout)


def without_factor(rows: Rows) -> tuple[Rows, float]:
    """Return rows without a number that all of them are multiplied by, and that number."""
    if isinstance(rows, Expression) and rows.value is None:
        found, base = recognize(rows), base_of(rows)
        if isinstance(found, Affine) and base is not None and not np.any(found.offset):
            numbers = np.unique(found.multiplier)
            if numbers.size == 1:
                return base, float(numbers[0])
    return rows, 1.0


RULES: tuple[Rule, ...] = (
    _linear,
    _per_column,
    _bias_of_heads,
    _factor,
    _binary,
    _unary,
    _over_columns,
    _layer_norm,
)
