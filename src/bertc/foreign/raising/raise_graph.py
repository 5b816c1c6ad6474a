"""From a foreign graph to meanings: node by node, the first rule that fits each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bertc.errors import CheckpointError
from bertc.foreign.graph import ForeignGraph, ForeignNode
from bertc.foreign.raising import attention, elementwise, embeddings, movement, pooling
from bertc.foreign.raising.meanings import Control, Guard, Known, Masked, Meaning, Scores, View
from bertc.foreign.raising.raiser import Raiser, Rule

RULES: tuple[Rule, ...] = (
    *embeddings.RULES,
    *movement.RULES,
    *attention.RULES,
    *pooling.RULES,
    *elementwise.RULES,
)
"""The groups in order: what is special before what takes any rows."""

_WHAT = {
    Known: "a constant",
    Control: "ids, a mask or sizes",
    View: "hidden states",
    Masked: "masked hidden states",
    Scores: "attention scores",
    Guard: "attention scores",
}


def raise_graph(graph: ForeignGraph) -> Raiser:
    """Return a raiser that knows the meaning of each output of a simplified graph.

    What the outputs need is written when they are. Raises ``CheckpointError`` that names the first node that
    no rule takes.
    """
    raiser = Raiser(graph)
    meanings = raiser.meanings
    meanings.update({name: Known(constant) for name, constant in graph.constants.items()})
    meanings.update({role: Control(role) for role in graph.inputs})
    for node in graph.nodes:
        raiser.begin(node)
        meanings[node.output] = _raise(raiser, node, [meanings[name] for name in node.inputs if name])
    return raiser


def _raise(raiser: Raiser, node: ForeignNode, operands: Sequence[Any]) -> Meaning:
    for rule in RULES:
        if node.op in rule.ops:
            meaning = rule.apply(raiser, node, operands)
            if meaning is not None:
                return meaning
    if all(isinstance(each, Known | Control) for each in operands):
        return Control(node.output)
    raise _unknown(node, operands)


def _unknown(node: ForeignNode, operands: Sequence[Any]) -> CheckpointError:
    found = ", ".join(_WHAT[type(each)] for each in operands)
    return CheckpointError(
        f"node {node}: bertc has no op for {node.op} of {found}, as this model uses it: only encoders like "
        "BERT and RoBERTa, with the heads that are made of its ops, can be compiled"
    )
