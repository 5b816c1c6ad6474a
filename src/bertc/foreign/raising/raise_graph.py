"""From a foreign graph to meanings: node by node, the first rule that fits each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from bertc.foreign.graph import ForeignGraph, ForeignNode
from bertc.foreign.raising import (
    attention,
    distances,
    elementwise,
    embeddings,
    gates,
    movement,
    pooling,
    rotary,
)
from bertc.foreign.raising.layout import shape_of
from bertc.foreign.raising.meanings import (
    Control,
    Distances,
    Expression,
    Guard,
    Hosted,
    HostRows,
    Known,
    Masked,
    Meaning,
    RowProducts,
    Scores,
    Turned,
    View,
)
from bertc.foreign.raising.offload import on_host, write_on_host
from bertc.foreign.raising.raiser import NoOpError, Raiser, Rule

RULES: tuple[Rule, ...] = (
    *embeddings.RULES,
    *rotary.RULES,
    *movement.RULES,
    *distances.RULES,
    *attention.RULES,
    *pooling.RULES,
    *gates.RULES,
    *elementwise.RULES,
)
"""The groups in order: what is special before what takes any rows."""

_WHAT = {
    Known: "a constant",
    Control: "ids, a mask or sizes",
    View: "hidden states",
    Turned: "hidden states and positions",
    Masked: "masked hidden states",
    RowProducts: "products with a table",
    Distances: "scores by distance",
    Scores: "attention scores",
    Guard: "attention scores",
    Hosted: "values of the host",
}


POSITIONS = 8192
"""How many positions are turned by angles that a graph computes, where no config says it."""


def raise_graph(graph: ForeignGraph, positions: int = POSITIONS) -> Raiser:
    """Return a raiser that knows the meaning of each output of a simplified graph.

    ``positions`` is how many tokens a sequence may have, where the graph has an angle for any position.
    What the outputs need is written when they are. A node that no rule takes is for the host. Raises
    ``CheckpointError`` that names a node which the host cannot run either.
    """
    raiser = Raiser(graph, write_on_host, positions)
    meanings = raiser.meanings
    meanings.update({name: Known(constant) for name, constant in graph.constants.items()})
    meanings.update({role: Control(role) for role in graph.inputs})
    for node in graph.nodes:
        raiser.begin(node)
        meaning = _raise(raiser, node, [meanings[name] for name in node.inputs if name])
        meanings[node.output] = meaning
        _remember(raiser, node, meaning)
    return raiser


def _remember(raiser: Raiser, node: ForeignNode, meaning: Meaning) -> None:
    """Note of an expression which value it is, in case it turns out to be one for the host."""
    if not isinstance(meaning, View) or not isinstance(meaning.rows, Expression):
        return
    if meaning.rows.source is None and shape_of(meaning.layout) == raiser.shape(node.output):
        meaning.rows.source = node.output


def _raise(raiser: Raiser, node: ForeignNode, operands: Sequence[Any]) -> Meaning:
    try:
        meaning = _by_rules(raiser, node, operands)
    except NoOpError as error:
        meaning = on_host(raiser, node, next(_reasons(operands), error.problem))
        inner = all(isinstance(each, Known | Control) for each in operands)
        if inner and isinstance(meaning, Hosted):
            return Control(node.output)
    return meaning


def _reasons(operands: Sequence[Any]) -> Iterator[str]:
    """Yield why operands are on the host: what reads them is there for the same reason."""
    for each in operands:
        if isinstance(each, Hosted):
            yield each.reason
        elif isinstance(each, View) and isinstance(each.rows, HostRows) and each.rows.value is None:
            yield each.rows.reason


def _by_rules(raiser: Raiser, node: ForeignNode, operands: Sequence[Any]) -> Meaning:
    for rule in RULES:
        if node.op in rule.ops:
            meaning = rule.apply(raiser, node, operands)
            if meaning is not None:
                return meaning
    if all(isinstance(each, Known | Control) for each in operands):
        return Control(node.output)
    if any(isinstance(each, Masked) for each in operands):
        # Nothing computes rows of padding: what they are replaced by matters to sums over tokens alone.
        bare = [each.view if isinstance(each, Masked) else each for each in operands]
        return _by_rules(raiser, node, bare)
    found = ", ".join(_WHAT[type(each)] for each in operands)
    raise raiser.no_op(f"bertc has no op for {node.op} of {found}, as this model uses it")
