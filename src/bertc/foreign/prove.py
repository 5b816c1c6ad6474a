"""The proof that a raised graph computes what the foreign graph does: both run, all values are compared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from bertc.errors import CheckpointError, InputError, NodeError
from bertc.foreign.graph import ForeignGraph, ForeignNode
from bertc.foreign.interpreter import run
from bertc.foreign.probes import Probe, make_probe, padding_id
from bertc.foreign.raising.meanings import View
from bertc.foreign.raising.raiser import Raiser
from bertc.ir import interpreter
from bertc.ir.graph import Graph, Node
from bertc.ports import SELECTED
from bertc.primitives.host_steps import find_host_steps

Array = np.ndarray[Any, Any]

TOLERANCE = 1e-4
"""What two ways to sum float32 may differ by, as a share of a value's largest number."""
_LENGTHS = (6, 9, 4)
_TYPES = "token_type"


def prove(raiser: Raiser, graph: Graph) -> None:
    """Run a padded batch of random tokens through both graphs.

    ``graph`` is what ``raiser`` wrote, under the names it wrote. Raises ``CheckpointError`` that names the
    first node whose value differs.
    """
    foreign = raiser.graph
    pairs = [*_pairs(raiser, graph)]
    probe = _batch(foreign, graph)
    wanted = {node.output for node, _ in pairs}
    expected = run(foreign, probe.inputs, wanted)
    every = {value: value for _, value in pairs}
    try:
        found = interpreter.run(graph.with_nodes(graph.nodes, outputs=every), _packed(probe))
    except InputError as error:
        raise CheckpointError(f"{error}: export the model with sizes that are not fixed") from None
    producers = graph.producers()
    for node, value in pairs:
        wanted_rows = _unpadded(expected[node.output], probe, found[value])
        _compare(node, wanted_rows, found[value], _advice(producers[value]))


def _pairs(raiser: Raiser, graph: Graph) -> Iterator[tuple[ForeignNode, str]]:
    """Yield the nodes whose values were written, each with what it became."""
    written = {value for node in graph.nodes for value in node.outputs}
    for node in raiser.graph.nodes:
        meaning = raiser.meanings[node.output]
        if not isinstance(meaning, View):
            continue
        rows = raiser.whole(meaning)
        if rows is not None and rows.value in written:
            yield node, str(rows.value)


def _batch(foreign: ForeignGraph, graph: Graph) -> Probe:
    rows = {
        table: graph.constants[node[table]].source.shape[0]
        for node in graph.nodes
        for table in ("word", _TYPES)
        if node.op == "embed" and table in node.inputs
    }
    pad = padding_id(foreign)
    return make_probe(
        foreign, _LENGTHS, max(_LENGTHS), pad=pad, ids=rows.get("word", 97), types=rows.get(_TYPES, 1)
    )


def _packed(probe: Probe) -> dict[str, Array]:
    """Return a padded batch as the IR takes it."""
    lengths = probe.mask.sum(axis=1)
    packed = {
        name: array[probe.mask].astype(np.int32)
        for name, array in probe.inputs.items()
        if name in ("input_ids", "token_type_ids")
    }
    packed["cu_seqlens"] = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    packed[SELECTED] = np.arange(lengths.sum(), dtype=np.int32)
    return packed


def _unpadded(value: Array, probe: Probe, like: Array) -> Array:
    """Return a foreign value [batch, length, columns] or [batch, columns] by tokens or sequences."""
    batch, length = probe.mask.shape
    if len(like) == batch and value.size == like.size:
        return value.reshape(like.shape)
    whole = np.broadcast_to(value, (batch, *value.shape[1:])) if value.shape[0] == 1 else value
    return whole.reshape(batch, length, -1)[probe.mask]


def _advice(node: Node) -> str:
    """Return what may be the cause of a difference, and what to do."""
    regions = find_host_steps([node]).values()
    if any(call.op == "conv1d" for region in regions for call in region.calls):
        return (
            "Its convolution reads hidden states of padding, so that the last tokens of a text depend on the"
            " batch around it; bertc has no padding. Multiply what it reads by attention_mask, or export the"
            " model without attention_mask, whose texts then run each at its own length"
        )
    return (
        "If the model counts padding on purpose, it cannot be compiled; else this is a bug of bertc: report"
        " it with the file"
    )


def _compare(node: ForeignNode, expected: Array, found: Array, advice: str) -> None:
    largest = float(np.abs(expected).max(initial=0.0))
    difference = float(np.abs(expected - found).max(initial=0.0))
    if not difference <= TOLERANCE * max(largest, TOLERANCE):
        problem = (
            f"what it was compiled to differs by {difference:.2g} (its largest number is {largest:.2g}) on a"
            f" batch of random tokens with padding. {advice}"
        )
        raise NodeError({str(node): problem})
