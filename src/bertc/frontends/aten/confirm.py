"""The first half of the proof: a foreign graph computes what PyTorch does on a padded batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from bertc.errors import CheckpointError
from bertc.foreign.graph import ForeignGraph
from bertc.foreign.interpreter import run
from bertc.foreign.probes import make_probe, padding_id
from bertc.foreign.prove import TOLERANCE

Array = np.ndarray[Any, Any]
_LENGTHS = (3, 8, 5)
_STEPS = 32
"""The roundings that half precision may be off by; sizes that became part of a trace change far more."""


def coarsest(tensors: Iterable[Any]) -> float:
    """Return the largest epsilon of the floats among tensors of PyTorch."""
    import torch

    kinds = {each.dtype for each in tensors if each.is_floating_point()}
    return max((float(torch.finfo(kind).eps) for kind in kinds), default=0.0)


def confirm(
    graph: ForeignGraph,
    module: Callable[[Mapping[str, Array]], Mapping[str, Array]],
    where: str,
    epsilon: float,
) -> None:
    """Run a batch of random tokens through both. ``module`` takes and returns arrays by role and name.

    ``epsilon`` is that of the floats which the module computes with. Raises ``CheckpointError`` that names
    the output which differs.
    """
    tolerance = max(TOLERANCE, _STEPS * epsilon)
    rows = {
        node.inputs[1]: graph.constants[node.inputs[0]].shape[0]
        for node in graph.nodes
        if node.op == "gather" and node.inputs[0] in graph.constants
    }
    probe = make_probe(
        graph,
        _LENGTHS,
        max(_LENGTHS),
        pad=padding_id(graph),
        ids=rows.get("input_ids", 97),
        types=rows.get("token_type_ids", 2),
    )
    expected = module(probe.inputs)
    found = run(graph, probe.inputs, {*graph.outputs.values()})
    for name, value in graph.outputs.items():
        array, other = found[value].astype(np.float64), expected[name].astype(np.float64)
        fits = array.shape == other.shape
        largest = float(np.abs(other).max(initial=0.0))
        if not fits or not np.allclose(array, other, rtol=0, atol=tolerance * max(largest, TOLERANCE)):
            raise CheckpointError(
                f"{where}: what was read of its output {name!r} differs on another batch: sizes or values of "
                "the example inputs have become part of the trace. Compute them from the inputs"
            )
