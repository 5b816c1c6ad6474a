"""Embedding lookups and their sums become one ``embed``."""

from __future__ import annotations

from bertc.ir.graph import Graph, Node
from bertc.ir.reference import TABLES
from bertc.passes.rewrite import common_parent, count_uses, rewrite


def fuse_embeddings(graph: Graph) -> Graph:
    """Turn ``add(embed(A), embed(B))`` into ``embed(A, B)``, again and again; the operands may be swapped.

    Only where B is one table that ``embed`` adds after all of A's: any other order of sums would round
    differently.
    """
    while (pair := _find(graph)) is not None:
        total, first, second = pair
        parent = common_parent([first.name, second.name]) or "embeddings"
        taken = {node.name for node in graph.nodes if node not in pair}
        name = total.name if parent in taken else parent
        of_positions = second if "position" in second.inputs else first
        fused = Node(name, "embed", {**first.inputs, **second.inputs}, total.outputs, of_positions.attributes)
        graph = rewrite(graph, {first.name: (), second.name: (), total.name: (fused,)})
    return graph


def _find(graph: Graph) -> tuple[Node, Node, Node] | None:
    """Find a sum of two embeds that can be one; return it, and the two in the order of additions."""
    producers, uses = graph.producers(), count_uses(graph)
    for total in graph.nodes:
        found = [producers.get(value) for value in total.inputs.values()]
        parts = [node for node in found if node is not None and node.op == "embed"]
        if total.op != "add" or len(parts) != 2 or any(uses[node.outputs[0]] > 1 for node in parts):
            continue
        first, second = sorted(parts, key=lambda node: _places(node)[0])
        if len(_places(second)) == 1 and _places(second)[0] > _places(first)[-1]:
            return total, first, second
    return None


def _places(embed: Node) -> list[int]:
    """Return the places of an embed's tables in the order of additions."""
    return [place for place, table in enumerate(TABLES) if table in embed.inputs]
