"""Runs a graph on what an embedding layer gave, instead of on token ids.

Other tool-chains run the embeddings apart from the model, and prepare calibration data as vectors.
Here the embedding table is exchanged for one whose rows are those vectors, so that a sample's ids are
row numbers, and the rest of the graph, native or not, stays as it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bertc.errors import InputError
from bertc.ir.graph import Constant, DType, Graph, Node

Array = np.ndarray[Any, Any]

_TABLE = "embeddings.prepared"
_TOLERANCE = 0.05
"""The tolerance of the mean and variance of normalized rows. An epsilon of 1e-5, which some scripts have,
not 1e-12, changes the variance by 0.4 % where that of the embeddings is 0.0025, as in BERT-base."""


def enter_at_embeddings(graph: Graph, vectors: Array) -> Graph:
    """Return a graph (fused or typed) with ``vectors`` float32 [rows, hidden] for its word embeddings.

    Vectors that the layer norm after the embeddings can have written come out of it unchanged; others
    are taken for what goes into it. Raises ``InputError`` if their size is not that of the model.
    """
    embed = next(node for node in graph.nodes if node.op == "embed")
    hidden = graph.constants[embed["word"]].source.shape[1]
    if vectors.shape[1] != hidden:
        raise InputError(
            f"the prepared vectors have {vectors.shape[1]} components, the model's embeddings {hidden}"
        )
    # No other table: its rows would be added to the vectors.
    inputs = {"input_ids": embed["input_ids"], "word": _TABLE, "cu_seqlens": embed["cu_seqlens"]}
    changed = Node(embed.name, "embed", inputs, embed.outputs)
    constants = {name: each for name, each in graph.constants.items() if name not in embed.inputs.values()}
    constants[_TABLE] = Constant(DType.F32, _before_norm(graph, embed, vectors))
    nodes = [changed if node is embed else node for node in graph.nodes]
    return graph.with_nodes(nodes, constants=constants)


def _before_norm(graph: Graph, embed: Node, vectors: Array) -> Array:
    """Return the rows that the layer norm makes ``vectors`` of; ``vectors`` themselves if there are none."""
    consumers = graph.consumers().get(embed.outputs[0], [])
    # A norm beside other readers is the first layer's, of a model with norms before the parts of a layer.
    if len(consumers) != 1 or not consumers[0].op.startswith("layer_norm"):
        return vectors
    (norm,) = consumers
    gamma, beta = (graph.constants[name].array for name in (norm["gamma"], norm["beta"]))
    used = gamma != 0
    rows = np.where(used, (vectors - beta) / np.where(used, gamma, 1), 0).astype(np.float32)
    # Padding, if it was not masked, may be rows of any kind: the middle row decides.
    is_normalized = (
        abs(np.median(rows.mean(axis=1))) < _TOLERANCE and abs(np.median(rows.var(axis=1)) - 1) < _TOLERANCE
    )
    return rows if is_normalized else vectors
