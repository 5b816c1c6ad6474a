"""Word, token type and position lookups and their sum become one ``embed``."""

from __future__ import annotations

from collections.abc import Mapping

from bertc.ir.graph import Graph, Node
from bertc.passes.rewrite import common_parent, count_uses, rewrite

_IDS = ("input_ids", "token_type_ids", "position_ids")


def fuse_embeddings(graph: Graph) -> Graph:
    """``(embedding(input_ids) + embedding(token_type_ids)) + embedding(position_ids)`` -> ``embed``.

    Only this order of the two sums is fused, since ``embed`` adds in it: any other would round
    differently.
    """
    producers, uses = graph.producers(), count_uses(graph)
    replaced: dict[str, tuple[Node, ...]] = {}
    renamed = {}
    for outer in graph.nodes:
        parts = _match(outer, producers)
        if parts is None:
            continue
        inner, lookups = parts
        nodes = (inner, *lookups)
        if any(uses[node.outputs[0]] > 1 for node in nodes):
            continue
        word, token_type, position = (node["table"] for node in lookups)
        name = common_parent([node.name for node in lookups]) or "embeddings"
        inputs = {**{ids: ids for ids in _IDS}, "word": word, "position": position, "token_type": token_type}
        embed = Node(name, "embed", inputs, (name,))
        replaced.update(dict.fromkeys((node.name for node in nodes), ()))
        replaced[outer.name] = (embed,)
        renamed[outer.outputs[0]] = name
    return rewrite(graph, replaced, renamed=renamed)


def _match(outer: Node, producers: Mapping[str, Node]) -> tuple[Node, list[Node]] | None:
    """The inner sum and the three lookups, in the order of ``_IDS``; operands of a sum may swap."""
    if outer.op != "add":
        return None
    for left, right in ((outer["a"], outer["b"]), (outer["b"], outer["a"])):
        inner, position = producers.get(left), producers.get(right)
        if inner is None or position is None or inner.op != "add":
            continue
        leaves = [*(producers.get(value) for value in inner.inputs.values()), position]
        lookups = {leaf["ids"]: leaf for leaf in leaves if leaf is not None and leaf.op == "embedding"}
        if set(lookups) == set(_IDS) and position is lookups["position_ids"]:
            return inner, [lookups[ids] for ids in _IDS]
    return None
