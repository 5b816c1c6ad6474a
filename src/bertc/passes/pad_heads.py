"""Attention heads are widened with zeros to a multiple of 16, so that kernels have no tails.

Pairs of columns that rotary positions turn stay pairs: either half of them is widened by itself.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from bertc.ir.graph import Constant, Graph, Node
from bertc.passes.rewrite import count_uses, rewrite

LANES = 16
"""The float32 lanes of the widest vector register, and the block of the packed weight layout."""

Array = np.ndarray[Any, Any]


class _Padded(NamedTuple):
    """A constant, and the heads (of queries, keys and values together) that its axis holds."""

    name: str
    axis: int
    heads: int
    half: int = 0
    """The columns of a head that are the left ones of pairs."""
    turned: int = 0
    """How many of the heads, the first ones, have pairs: queries and keys, not values."""


def pad_heads(graph: Graph) -> Graph:
    """Make the head size a multiple of 16. Exact: every added term is a product with zero.

    Queries, keys and values get zero columns (zero rows in the projection's weight and bias), the
    output projection zero columns that meet the zeros; the scale stays that of the original size. Of queries
    and keys that are turned by their positions, and of the angles, each half of the pairs gets its zeros.
    Constants that layers share are padded once, if all nodes that read them can take them so.
    """
    uses = count_uses(graph)
    layers = list(_find(graph, uses))
    while True:
        counts = Counter(padded for layer in layers for padded in layer)
        kept = [layer for layer in layers if all(counts[each] == uses[each.name] for each in layer)]
        if len(kept) == len(layers):
            break
        layers = kept
    constants = {each.name: _pad(graph.constants[each.name], each) for layer in layers for each in layer}
    return rewrite(graph, {}, constants=constants)


def _pad(constant: Constant, padded: _Padded) -> Constant:
    """Return the constant with zeros after each head's part of the axis, or after each half of its pairs."""
    size = constant.source.shape[padded.axis] // padded.heads
    places = np.arange(size)
    turned = places + -padded.half % LANES * np.minimum(places // max(padded.half, 1), 2)
    wide = _round_up(2 * _round_up(padded.half) + size - 2 * padded.half)
    if wide == size:
        return constant
    array = np.moveaxis(constant.array, padded.axis, 0)
    heads = array.reshape(padded.heads, size, -1)
    out = np.zeros((padded.heads, wide, heads.shape[2]), array.dtype)
    out[: padded.turned, turned] = heads[: padded.turned]
    out[padded.turned :, places] = heads[padded.turned :]
    moved = np.moveaxis(out.reshape(-1, *array.shape[1:]), 0, padded.axis)
    return dataclasses.replace(constant, source=np.ascontiguousarray(moved))


def _round_up(size: int) -> int:
    return size + -size % LANES


def _find(graph: Graph, uses: Mapping[str, int]) -> Iterator[tuple[_Padded, ...]]:
    """Yield the constants around each attention whose projections are linear layers that it alone uses."""
    producers, consumers = graph.producers(), graph.consumers()
    for node in graph.nodes:
        if node.op != "attention" or not node["qkv"]:
            continue
        qkv, readers = producers.get(node["qkv"]), consumers.get(node.outputs[0], [])
        if qkv is not None and _match(qkv, node, readers, uses):
            heads = int(node.attributes["num_attention_heads"])
            sharers = int(node.attributes.get("num_key_value_heads", 0)) or heads
            all_heads = heads + 2 * sharers
            rotary = node["rotary"]
            half = int(graph.constants[rotary].source.shape[1]) // 2 if rotary else 0
            yield (
                _Padded(qkv["weight"], 0, all_heads, half, all_heads - sharers if half else 0),
                _Padded(qkv["bias"], 0, all_heads, half, all_heads - sharers if half else 0),
                _Padded(readers[0]["weight"], 1, heads, half),
                *((_Padded(rotary, 1, 1, half, 1),) if half else ()),
                *(
                    _Padded(node[name], 1, heads)
                    for name in ("position_keys", "position_queries")
                    if node[name]
                ),
            )


def _match(qkv: Node, attention: Node, readers: list[Node], uses: Mapping[str, int]) -> bool:
    """Return whether projection, attention and output projection are a chain that nothing else reads."""
    if qkv.op != "linear" or qkv.attributes["activation"] != "none" or qkv["residual"]:
        return False
    if len(readers) != 1 or readers[0].op != "linear" or readers[0]["residual"] == attention.outputs[0]:
        return False
    return all(uses[value] == 1 for value in (qkv.outputs[0], attention.outputs[0]))
