"""Tells which part of the model a node is by what surrounds it: names differ between architectures."""

from __future__ import annotations

from bertc.ir.graph import Graph, Node

QKV = "query, key and value"
_TRANSPARENT = ("channel_affine",)
"""The ops that quantization puts between a layer and its input."""


def find_parts(graph: Graph) -> dict[str, str]:
    """Return the recipe's names of the parts that nodes of a fused graph are, by node name.

    ``QKV`` are the three projections, in one linear layer.
    """
    producers, consumers = graph.producers(), graph.consumers()
    attentions = [i for i, node in enumerate(graph.nodes) if node.op == "attention_qkv"]
    last = attentions[-1] if attentions else -1

    def source(node: Node) -> Node | None:
        found = producers.get(node["qkv" if node.op == "attention_qkv" else "x"])
        return source(found) if found is not None and found.op in _TRANSPARENT else found

    def is_ffn(node: Node) -> bool:
        """Tell whether it is the second matrix of a block: it adds the residual, and reads no attention."""
        before = source(node)
        return node.op == "linear" and bool(node["residual"]) and before is not None and before.op == "linear"

    parts = {}
    for index, node in enumerate(graph.nodes):
        if node.op == "embed":
            parts[node.name] = "embeddings"
        if node.op != "linear":
            continue
        readers = consumers.get(node.outputs[0], [])
        before = source(node)
        if any(reader.op == "attention_qkv" for reader in readers):
            parts[node.name] = QKV
        elif before is not None and before.op == "attention_qkv":
            parts[node.name] = "output"
        elif is_ffn(node) or any(is_ffn(reader) and source(reader) is node for reader in readers):
            parts[node.name] = "ffn"
        elif index > last:
            parts[node.name] = "head"
    return parts
