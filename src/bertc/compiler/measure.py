"""Runs graphs over samples: their answers, and the error of every layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from bertc import fidelity
from bertc.artifact.certificate import LayerFidelity
from bertc.compiler.samples import Batch
from bertc.errors import CheckpointError
from bertc.ir.graph import DType, Graph, Node
from bertc.ir.ops import OPS
from bertc.ir.verifier import verify
from bertc.quantize.sensitivity import EXACT

Array = np.ndarray[Any, Any]
Run = Callable[[Graph, Mapping[str, Array]], dict[str, Array]]
"""A target: takes a graph and packed inputs, and returns the graph's outputs by public name."""

TOGETHER = 30
"""The nodes whose results are compared in one run: those of all of BERT-base take 0.4 MB for each token."""


def answers(graph: Graph, batches: Sequence[Batch], run: Run) -> dict[str, Array]:
    """Return the public outputs for all batches by name, rows in their order.

    Raises ``CheckpointError`` if a number of them is not finite.
    """
    parts = [run(graph, batch.inputs) for batch in batches]
    results = {name: np.concatenate([part[name] for part in parts]) for name in graph.outputs}
    for name, array in results.items():
        if not np.isfinite(array).all():
            raise CheckpointError(
                f"the model's {name} holds numbers that are not finite: it cannot be certified"
            )
    return results


def compare_layers(
    reference: Graph,
    typed: Graph,
    precisions: Mapping[str, str],
    batches: Sequence[Batch],
    run: Run,
) -> tuple[LayerFidelity, ...]:
    """Return the error of each embedding, linear layer, attention and layer norm of the typed graph.

    The result of a node is compared where both graphs have it under one name and in floats, or the typed
    one writes it in 8 bits by a static scale.
    """
    pairs = _comparable(reference, typed)
    meters = {pair.node.name: fidelity.NoiseMeter() for pair in pairs}
    for start in range(0, len(pairs), TOGETHER):
        some = pairs[start : start + TOGETHER]
        exact = reference.with_nodes(reference.nodes, outputs={p.node.name: p.node.outputs[0] for p in some})
        rounded = typed.with_nodes(typed.nodes, outputs={p.node.name: p.value for p in some})
        for batch in batches:
            expected, found = run(exact, batch.inputs), run(rounded, batch.inputs)
            for pair in some:
                meters[pair.node.name].add(expected[pair.node.name], pair.widen(found[pair.node.name]))
    producers = typed.producers()
    return tuple(
        LayerFidelity(
            name=pair.node.name,
            op=pair.node.op,
            precision=_precision(producers[pair.value], precisions),
            sqnr_db=round(meters[pair.node.name].db, 2),
        )
        for pair in pairs
    )


class _Pair(NamedTuple):
    """A node of the reference, and the value that stands for its result in the typed graph."""

    node: Node
    value: str
    static: Array | None
    """The scale and the zero point where ``value`` is u8; None where it is in floats."""

    def widen(self, found: Array) -> Array:
        """Return a result of the typed graph, ``found``, in floats."""
        if self.static is None:
            return found
        scale, zero_point = self.static
        return np.asarray((found - zero_point) * scale)


def _comparable(reference: Graph, typed: Graph) -> list[_Pair]:
    types, by_name = verify(typed), {node.name: node for node in typed.nodes}
    pairs = []
    for node in reference.nodes:
        value, written = node.outputs[0], by_name.get(node.name)
        if not OPS[node.op].compared:
            continue
        if value in types and types[value].dtype in (DType.F32, DType.BF16):
            pairs.append(_Pair(node, value, None))
        elif written is not None and written.attributes.get("out_dtype") == DType.U8.value:
            static = typed.constants[written["static"]].array
            pairs.append(_Pair(node, written.outputs[0], static))
    return pairs


def _precision(node: Node, precisions: Mapping[str, str]) -> str:
    """Return the precision that a node of a typed graph computes in; its ``compute_dtype``, if it has one."""
    compute_dtype = str(node.attributes.get("compute_dtype", precisions.get(node.name, EXACT)))
    return EXACT if compute_dtype == "f32" else compute_dtype
