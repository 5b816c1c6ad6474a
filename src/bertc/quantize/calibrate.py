"""Calibration: runs texts through the fp32 graph and watches the edges that will be quantized."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from bertc.errors import InputError
from bertc.ir.formulas import token_places
from bertc.ir.graph import Graph
from bertc.ir.verifier import verify
from bertc.ports import CU_SEQLENS, TOKENS
from bertc.precision import WEIGHT_BITS
from bertc.quantize.statistics import EdgeCollector, Statistics

Array = np.ndarray[Any, Any]
Run = Callable[[Graph, Mapping[str, Array]], Mapping[str, Array]]
"""Runs a graph on packed inputs and returns outputs by public name, as ``interpreter.run`` does."""

LARGEST = 1e15
"""Activations beyond this are refused: sums of squares of 10^7 tokens still fit float32 (up to 3e38)."""


def quantized_edges(graph: Graph, precisions: Mapping[str, str]) -> tuple[str, ...]:
    """Return the values that enter a linear layer in int8 or int7, each once, in execution order."""
    linear = [node for node in graph.nodes if node.op == "linear" and precisions[node.name] in WEIGHT_BITS]
    return tuple(dict.fromkeys(node["x"] for node in linear))


def calibrate(
    graph: Graph,
    batches: Iterable[Mapping[str, Array]],
    run: Run,
    edges: Sequence[str],
    *,
    seed: int = 0,
    provenance: Mapping[str, Any] | None = None,
    on_batch: Callable[[int], None] | None = None,
) -> Statistics:
    """Return statistics of the ``edges`` (value names) of a fused graph over packed ``batches``.

    Batches are streamed: what is kept does not grow with their number. ``on_batch`` is told the
    number of tokens of each. The same batches and seed give the same statistics on the same target.
    Raises ``InputError`` if there is no batch, or if an edge holds NaN, infinite or huge numbers.
    """
    if not edges:
        return Statistics(MappingProxyType({}), MappingProxyType(dict(provenance or {})))
    observed = graph.with_nodes(graph.nodes, outputs={edge: edge for edge in edges})
    types, collectors = verify(graph), dict[str, EdgeCollector]()
    for inputs in batches:
        found = dict(run(observed, inputs))
        places = token_places(inputs[CU_SEQLENS])
        for edge in edges:
            x = found.pop(edge)
            if edge not in collectors:
                # By name: whether another edge is watched must not change this one's sample.
                collectors[edge] = EdgeCollector(x.shape[1], seed ^ zlib.crc32(edge.encode()))
            _check_range(edge, x)
            collectors[edge].add(x, places if types[edge].shape[0] == TOKENS else None)
        if on_batch is not None:
            on_batch(int(inputs[CU_SEQLENS][-1]))
    if not collectors:
        raise InputError("calibration got no data: give at least one text, or compile without int8")
    statistics = {edge: collectors[edge].finish() for edge in edges}
    return Statistics(MappingProxyType(statistics), MappingProxyType(dict(provenance or {})))


def _check_range(edge: str, x: Array) -> None:
    if not (x.min() >= -LARGEST and x.max() <= LARGEST):  # False for NaN, too
        raise InputError(
            f"calibration: {edge} holds NaN or numbers beyond {LARGEST:g}: the fp32 model overflows on "
            "this data. Try other calibration data; if that changes nothing, the checkpoint is damaged: "
            "download or save it again"
        )
