"""Estimates what more bits for a node cost in time and size, to compare fallbacks by.

Estimated, not measured: a measurement on a busy machine would choose other nodes each time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from bertc.ir.graph import Graph
from bertc.ir.ops import OPS
from bertc.ir.verifier import verify
from bertc.ports import SEQUENCES
from bertc.precision import BF16, FP32, INT7, INT8, PRECISIONS

GIGAOPS: Mapping[str, Mapping[str, float]] = {
    "avx512_bf16": {INT8: 1880, INT7: 1880, BF16: 940, FP32: 470},
    "avx512_vnni": {INT8: 1880, INT7: 1880, BF16: 450, FP32: 470},
    "avx_vnni": {INT8: 760, INT7: 760, BF16: 190, FP32: 195},
    "avx2": {INT8: 365, INT7: 365, BF16: 190, FP32: 195},
    "scalar": {INT8: 40, INT7: 40, BF16: 30, FP32: 43},
}
"""The rate of matrix products by instruction set, on two cores; docs/performance.md has the measurements.
Only ratios count. An instruction set that is not here counts as ``avx2``."""

SIZE_WEIGHT = 0.1
"""The weight of size against time: a file larger by 10 % counts as much as one slower by 1 %. Size is what a
wider table costs, and what a single short text waits for."""

SMALLEST_COST = 1e-6


class Costs:
    """Estimates what a fallback adds, as shares of the model as the recipe asks for it."""

    def __init__(self, graph: Graph, precisions: Mapping[str, str], isa: str, tokens_per_text: float) -> None:
        """Take a fused graph, and the precisions of its nodes by the recipe."""
        self._rates = GIGAOPS.get(isa, GIGAOPS["avx2"])
        self._work = dict(_work(graph, tokens_per_text))
        self._elements = dict(_elements(graph))
        self._time = sum(self._time_of(name, precision) for name, precision in precisions.items())
        self._bytes = sum(self._bytes_of(name, precision) for name, precision in precisions.items())

    def slower(self, name: str, precision: str, instead_of: str) -> float:
        """Return the share of the model's time that a node takes more in another precision."""
        more = self._time_of(name, precision) - self._time_of(name, instead_of)
        return max(more, 0.0) / (self._time or 1.0)

    def cost(self, name: str, precision: str, instead_of: str) -> float:
        """Return what another precision costs in time and size together, as one number above 0."""
        more = self._bytes_of(name, precision) - self._bytes_of(name, instead_of)
        size = max(more, 0) / (self._bytes or 1)
        return max(self.slower(name, precision, instead_of) + SIZE_WEIGHT * size, SMALLEST_COST)

    def _time_of(self, name: str, precision: str) -> float:
        return self._work.get(name, 0.0) / self._rates.get(precision, self._rates[FP32])

    def _bytes_of(self, name: str, precision: str) -> int:
        return self._elements.get(name, 0) * PRECISIONS[precision].bytes


def _work(graph: Graph, tokens_per_text: float) -> Iterator[tuple[str, float]]:
    """Yield the operations per token of each node, by name."""
    types = verify(graph)
    for node in graph.nodes:
        work = OPS[node.op].work
        if work is not None:
            operands = {operand: types[value] for operand, value in node.inputs.items()}
            rows = 1 / tokens_per_text if types[node.outputs[0]].shape[0] == SEQUENCES else 1.0
            yield node.name, rows * work(operands, OPS[node.op].complete(node.attributes), tokens_per_text)


def _elements(graph: Graph) -> Iterator[tuple[str, int]]:
    """Yield the count of numbers in each node's matrix or largest table, by name."""
    for node in graph.nodes:
        large = [each.name for each in OPS[node.op].operands if each.packing in ("weight", "table")]
        shapes = [graph.constants[node[name]].source.shape for name in large if node[name]]
        if shapes:
            yield node.name, max(map(math.prod, shapes))
