"""Attention heads are widened with zeros to a multiple of 16, so that kernels have no tails."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from bertc.ir.graph import Constant, Graph, Node
from bertc.passes.rewrite import count_uses, rewrite

LANES = 16
"""The float32 lanes of the widest vector register, and the block of the packed weight layout."""

Array = np.ndarray[Any, Any]


def pad_heads(graph: Graph) -> Graph:
    """Make the head size a multiple of 16. Exact: every added term is a product with zero.

    Queries, keys and values get zero columns (zero rows in the projection's weight and bias), the
    output projection zero columns that meet the zeros; the scale stays that of the original size.
    """
    producers, uses = graph.producers(), count_uses(graph)
    consumers = graph.consumers()
    constants: dict[str, Constant] = {}
    for node in graph.nodes:
        if node.op != "attention_qkv":
            continue
        qkv, outputs = producers[node["qkv"]], consumers.get(node.outputs[0], [])
        heads = int(node.attributes["num_attention_heads"])
        if not _match(qkv, node, outputs, uses):
            continue
        names = (qkv["weight"], qkv["bias"], outputs[0]["weight"])
        weight, bias, dense = (graph.constants[name].array for name in names)
        size = weight.shape[0] // (3 * heads)
        extra = -size % LANES
        if not extra:
            continue
        padded = (
            _pad(weight.reshape(3 * heads, size, -1), extra).reshape(-1, weight.shape[1]),
            _pad(bias.reshape(3 * heads, size, 1), extra).reshape(-1),
            _pad(dense.reshape(-1, size, 1), extra).reshape(dense.shape[0], -1),
        )
        for name, array in zip(names, padded, strict=True):
            constants[name] = dataclasses.replace(graph.constants[name], array=array)
    return rewrite(graph, {}, constants=constants)


def _pad(array: Array, extra: int) -> Array:
    """``extra`` zeros after the middle axis."""
    return np.pad(array, ((0, 0), (0, extra), (0, 0)))


def _match(qkv: Node, attention: Node, outputs: list[Node], uses: dict[str, int]) -> bool:
    """Whether projection, attention and output projection are chained, and their tensors their own."""
    if qkv.op != "linear" or qkv.attributes["activation"] != "none" or qkv["residual"]:
        return False
    if len(outputs) != 1 or outputs[0].op != "linear" or outputs[0]["residual"] == attention.outputs[0]:
        return False
    own = (qkv.outputs[0], attention.outputs[0], qkv["weight"], qkv["bias"], outputs[0]["weight"])
    return all(uses[value] == 1 for value in own)
