"""Passes: small functions graph -> graph, one file each. Here is their order."""

from __future__ import annotations

from collections.abc import Callable

from bertc.errors import GraphError
from bertc.ir.graph import Graph
from bertc.ir.verifier import verify
from bertc.passes.eliminate_dead_nodes import eliminate_dead_nodes
from bertc.passes.fuse_embeddings import fuse_embeddings
from bertc.passes.fuse_gates import fuse_gates
from bertc.passes.fuse_linear_activation import fuse_linear_activation
from bertc.passes.fuse_linear_residual import fuse_linear_residual
from bertc.passes.fuse_qkv import fuse_qkv
from bertc.passes.merge_identical_nodes import merge_identical_nodes
from bertc.passes.move_to_host import move_to_host
from bertc.passes.pad_heads import pad_heads

Pass = Callable[[Graph], Graph]

PASSES: tuple[Pass, ...] = (
    merge_identical_nodes,
    fuse_embeddings,
    fuse_qkv,
    fuse_linear_activation,
    fuse_gates,
    fuse_linear_residual,
    pad_heads,
    move_to_host,
    eliminate_dead_nodes,
)
"""The order matters: QKV before activations and residuals, which hide a plain linear layer; gates after
activations, which they have."""


def fuse(graph: Graph) -> Graph:
    """Run all passes on an imported graph; the result is in stage "fused".

    Raises ``GraphError`` that names the pass, if one leaves a graph that is not well formed, or
    the node, if an op remains that no kernel can run.
    """
    for step in PASSES:
        graph = step(graph)
        try:
            verify(graph, stages=("imported", "fused"))
        except GraphError as error:
            raise GraphError(f"after pass {step.__name__}: {error}") from None
    graph = graph.with_nodes(graph.nodes, stage="fused")
    verify(graph)
    return graph


__all__ = ["PASSES", "fuse"]
