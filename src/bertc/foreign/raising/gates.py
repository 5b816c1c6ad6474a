"""Rules for gates: a product of two linear layers of one value, one of them perhaps activated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bertc.foreign.graph import ForeignNode
from bertc.foreign.raising.layout import align
from bertc.foreign.raising.meanings import Expression, Meaning, Product, Rows, View, Written
from bertc.foreign.raising.raiser import Raiser, Rule, rule
from bertc.foreign.raising.recognize import Activation, base_of, recognize


@rule("mul")
def _gate(raiser: Raiser, _: ForeignNode, operands: Sequence[Any]) -> Meaning | None:
    rows = [raiser.whole(each) if isinstance(each, View) else None for each in operands]
    layers = [None if each is None else _layer(each) for each in rows]
    (first, second), (a, b) = layers, rows
    if first is None or second is None or a is None or b is None or first is second:
        return None
    layout = align(operands[0].layout, operands[1].layout)
    if layout is None or first.x is not second.x or a.width != b.width:
        return None
    if not any(isinstance(each, Product) for each in (a, b)):
        return None  # no kernel activates both
    name = raiser.builder.multiply(raiser.name("multiply"), raiser.write(a), raiser.write(b))
    return View(Written(name, a.width, a.per_token), layout)


def _layer(rows: Rows) -> Product | None:
    """Return the linear layer that rows are, or that they are an activation of."""
    if isinstance(rows, Product):
        return rows
    base = base_of(rows)
    if not isinstance(rows, Expression) or not isinstance(base, Product):
        return None
    return base if isinstance(recognize(rows), Activation) else None


RULES: tuple[Rule, ...] = (_gate,)
