"""Rules for what makes a row of a sequence of its tokens' rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from bertc.foreign.graph import ForeignNode
from bertc.foreign.probes import LOW
from bertc.foreign.raising.layout import Axis, shape_of
from bertc.foreign.raising.meanings import Control, Expression, Known, Masked, Meaning, Pooled, View
from bertc.foreign.raising.raiser import Raiser, Rule, rule
from bertc.foreign.raising.recognize import Activation, recognize

_NEVER_NEGATIVE = ("relu", "sigmoid", "log1p_relu")
"""Activations after which a zero in the place of padding is as good as something very low."""


@rule("mul", "add", "sub")
def _mask(raiser: Raiser, node: ForeignNode, operands: Sequence[Any]) -> Meaning | None:
    view, mask = operands if isinstance(operands[0], View) else operands[::-1]
    if not isinstance(view, View) or not _is_of_tokens(view) or not isinstance(mask, Control):
        return None
    kind = _kind(raiser, mask, view)
    if (node.op, kind) in (("mul", "all"), ("add", "none"), ("sub", "none")):
        return view
    by = {("mul", "keep"): "zero", ("add", "add"): "low", ("sub", "subtract"): "low"}.get((node.op, kind))
    return None if by is None else Masked(view, by)


@rule("where")
def _replaced(raiser: Raiser, _: ForeignNode, operands: Sequence[Any]) -> Meaning | None:
    condition, yes, no = operands
    view, other = (yes, no) if isinstance(yes, View) else (no, yes)
    if (
        not isinstance(view, View)
        or not _is_of_tokens(view)
        or not isinstance(condition, Control)
        or not isinstance(other, Known)
    ):
        return None
    kind, number = _kind(raiser, condition, view), other.scalar
    if kind == ("all" if view is yes else "none"):
        return view
    if kind != ("keep" if view is yes else "drop") or number is None or (number != 0 and number > LOW):
        return None
    return Masked(view, "zero" if number == 0 else "low")


def _is_of_tokens(meaning: Any) -> bool:
    return isinstance(meaning, View) and [[atom.kind for atom in axis] for axis in meaning.layout] == [
        ["batch"],
        ["length"],
        ["column"],
    ]


def _kind(raiser: Raiser, mask: Control, view: View) -> str:
    return raiser.probes.mask_kind(mask.name, shape_of(view.layout), ("batch", "length", "other"))


@rule("reduce_sum", "reduce_mean", "reduce_max")
def _over_tokens(raiser: Raiser, node: ForeignNode, operands: Sequence[Any]) -> Meaning | None:
    (x,) = operands
    view = x.view if isinstance(x, Masked) else x
    rows, axes = raiser.rows_of(view), node.attributes["axes"]
    if rows is None or not _is_of_tokens(view) or axes is None or [axis % 3 for axis in axes] != [1]:
        return None
    by = x.by if isinstance(x, Masked) else "none"
    mode = node.op.removeprefix("reduce_")
    if mode == "max" and by == "zero" and not _never_negative(rows):
        raise raiser.error("the maximum over tokens takes zeros in the place of padding, bertc takes none")
    if (mode == "sum" and by == "low") or (mode == "mean" and by != "none"):
        raise raiser.error(f"the {mode} over tokens counts padding in a way that bertc does not")
    between: tuple[Axis, ...] = ((),) if node.attributes["keepdims"] else ()
    return View(Pooled(raiser.settle(rows), mode), (raiser.batch, *between, view.layout[-1]))


def _never_negative(rows: Any) -> bool:
    found = recognize(rows) if isinstance(rows, Expression) else None
    return isinstance(found, Activation) and found.name in _NEVER_NEGATIVE


@rule("matmul")
def _weighted(raiser: Raiser, node: ForeignNode, operands: Sequence[Any]) -> Meaning | None:
    """Sum the rows of tokens by a product with their mask [batch, 1, length]."""
    mask, view = operands
    rows = raiser.rows_of(view)
    if not isinstance(mask, Control) or rows is None or not _is_of_tokens(view):
        return None
    shape = raiser.shape(node.inputs[0])
    if len(shape) != 3 or raiser.probes.mask_kind(mask.name, shape, ("batch", "other", "length")) not in (
        "keep",
        "all",
    ):
        return None
    return View(Pooled(raiser.settle(rows), "sum"), (raiser.batch, (), view.layout[-1]))


@rule("div", "mul")
def _mean(raiser: Raiser, node: ForeignNode, operands: Sequence[Any]) -> Meaning | None:
    """Divide a sum by how many tokens there are, or by the root of it."""
    view, count = operands
    if not isinstance(view, View) or not isinstance(view.rows, Pooled) or not isinstance(count, Control):
        return None
    if view.rows.mode != "sum" or view.rows.value is not None:
        return None
    sign = 1.0 if node.op == "div" else -1.0
    for mode, power in (("mean", 1.0), ("mean_sqrt_len_tokens", 0.5)):
        if raiser.probes.is_count(count.name, shape_of(view.layout), sign * power):
            return dataclasses.replace(view, rows=Pooled(view.rows.x, mode))
    return None


@rule("gather", "slice")
def _first_token(raiser: Raiser, node: ForeignNode, operands: Sequence[Any]) -> Meaning | None:
    view = operands[0]
    rows = raiser.rows_of(view)
    if rows is None or not _is_of_tokens(view) or not all(isinstance(each, Known) for each in operands[1:]):
        return None
    if node.op == "gather":
        fits = node.attributes["axis"] % 3 == 1 and operands[1].scalar == 0
    else:
        axes = [axis % 3 for axis in node.attributes["axes"]]
        fits = axes == [1] and (operands[1].scalar, operands[2].scalar) == (0, 1)
    if not fits:
        return None
    pooled = Pooled(raiser.settle(rows), "cls")
    between: tuple[Axis, ...] = ((),) if len(raiser.shape(node.output)) == 3 else ()
    return View(pooled, (raiser.batch, *between, view.layout[-1]))


RULES: tuple[Rule, ...] = (_mask, _replaced, _over_tokens, _weighted, _mean, _first_token)
