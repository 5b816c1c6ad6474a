"""Runs graphs over samples: their answers, and the error of every layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from bertc import fidelity
from bertc.artifact.certificate import LayerFidelity
from bertc.compiler.samples import Batch
from bertc.errors import CheckpointError
from bertc.ir.graph import DType, Graph, Node
from bertc.ir.verifier import verify
from bertc.quantize.sensitivity import EXACT

Array = np.ndarray[Any, Any]
Run = Callable[[Graph, Mapping[str, Array]], dict[str, Array]]
"""A target: a graph and packed inputs to the graph's outputs by public name."""

TOGETHER = 30
"""Results that are compared in one run: those of all of BERT-base's nodes take 0.4 MB for each token."""

_OBSERVED = ("embed", "layer_norm", "linear", "attention_qkv")
"""Ops of a fused graph whose first result is compared."""


def answers(graph: Graph, batches: Sequence[Batch], run: Run) -> dict[str, Array]:
    """The public outputs for all batches, rows in their order.

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
    run_reference: Run,
    run_typed: Run,
) -> tuple[LayerFidelity, ...]:
    """The error of each embedding, linear layer, attention and layer norm of the typed graph.

    The result of a node is compared where both graphs have it under one name and in floats.
    """
    nodes = _comparable(reference, typed)
    meters = {node.name: fidelity.NoiseMeter() for node in nodes}
    for start in range(0, len(nodes), TOGETHER):
        outputs = {node.name: node.outputs[0] for node in nodes[start : start + TOGETHER]}
        exact, rounded = (graph.with_nodes(graph.nodes, outputs=outputs) for graph in (reference, typed))
        for batch in batches:
            expected, found = run_reference(exact, batch.inputs), run_typed(rounded, batch.inputs)
            for name in outputs:
                meters[name].add(expected[name], found[name])
    producers = typed.producers()
    return tuple(
        LayerFidelity(
            name=node.name,
            op=node.op,
            precision=_precision(producers[node.outputs[0]], precisions),
            sqnr_db=round(meters[node.name].db, 2),
        )
        for node in nodes
    )


def _comparable(reference: Graph, typed: Graph) -> list[Node]:
    types = verify(typed)
    floats = {name for name, kind in types.items() if kind.dtype in (DType.F32, DType.BF16)}
    return [node for node in reference.nodes if node.op in _OBSERVED and node.outputs[0] in floats]


def _precision(node: Node, precisions: Mapping[str, str]) -> str:
    """What a node of a typed graph computes in; attention says so itself."""
    if node.op == "attention_qkv":
        compute_dtype = str(node.attributes["compute_dtype"])
        return EXACT if compute_dtype == "f32" else compute_dtype
    return precisions.get(node.name, EXACT)
