"""Hand-made graphs for tests of the IR and of passes."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from bertc.architectures import ConfigReader, ModelBuilder, bert
from bertc.heads import HEADS, HeadContext, HeadOptions, SentenceModule
from bertc.ir import interpreter
from bertc.ir.graph import Attribute, Constant, DType, Graph, Node
from bertc.ir.ops import OPS
from bertc.ir.reference import TABLES
from bertc.passes import fuse
from bertc.ports import SELECTED, TOKENS, Port
from bertc.quantize.calibrate import calibrate, quantized_edges
from bertc.quantize.precisions import choose_precisions
from bertc.quantize.quantize import Quantized, Quantizer
from bertc.quantize.statistics import Statistics
from bertc.recipe import Recipe
from tests.support.tiny_models import DEFAULT_CONFIG, LABELS, bert_tensors, packed_inputs

Array = np.ndarray[Any, Any]


FLAGS = ("attended", "pooled")
IDS = (
    *(Port(name, "i32", TOKENS) for name in (*TABLES.values(), *FLAGS, "places")),
    Port("selected", "i32", SELECTED),
)
"""All ids and flags that ops may take."""


def constant(*shape: int, seed: int = 0) -> Constant:
    """Return a random float32 constant."""
    rng = np.random.default_rng(seed)
    return Constant(DType.F32, rng.normal(0, 0.5, shape).astype(np.float32))


def node(op: str, name: str, *inputs: str, **attributes: Attribute) -> Node:
    """Return a node whose one output has the node's name; ``linear`` gets its weight, bias and defaults."""
    if op == "linear":
        inputs, attributes = (*inputs, f"{name}.weight", f"{name}.bias"), {"activation": "none", **attributes}
    return Node(name, op, bind(op, *inputs), (name,), MappingProxyType(attributes))


def bind(op: str, *values: str) -> dict[str, str]:
    """Inputs by operand from values in the order of the op table; "" stands for an absent one."""
    return {operand.name: value for operand, value in zip(OPS[op].operands, values, strict=False) if value}


def embed(name: str, *, first_position: int = 0, **tables: str) -> Node:
    """An ``embed`` of these tables, and their scales, by operand."""
    ids = {TABLES[table]: TABLES[table] for table in tables if table in TABLES}
    attributes = {"first_position": first_position} if first_position else {}
    return Node(name, "embed", {**ids, **tables, "cu_seqlens": "cu_seqlens"}, (name,), attributes)


def linear_constants(name: str, rows: int, columns: int, seed: int = 0) -> dict[str, Constant]:
    """Return the weight [rows, columns] and the bias [rows] of the linear node ``name``."""
    return {
        f"{name}.weight": constant(rows, columns, seed=seed),
        f"{name}.bias": constant(rows, seed=seed + 1),
    }


def small_graph() -> Graph:
    """An embedding and one linear layer: the smallest imported graph with a matrix."""
    constants = {"table": constant(10, 8), **linear_constants("dense", 4, 8)}
    nodes = (embed("x", word="table"), node("linear", "dense", "x"))
    return Graph(IDS[:1], constants, nodes, {"y": "dense"})


def small_inputs() -> dict[str, Array]:
    """Return inputs for :func:`small_graph`: two sequences, of three tokens and of one."""
    ids = np.array([1, 2, 3, 9], np.int32)
    return {
        "input_ids": ids,
        "token_type_ids": np.zeros(4, np.int32),
        "position_ids": np.array([0, 1, 2, 0], np.int32),
        "cu_seqlens": np.array([0, 3, 4], np.int32),
    }


def bert_graph(
    head: str = "embedding",
    *,
    seed: int = 0,
    pooling: str = "mean",
    tensors: Mapping[str, Array] | None = None,
    sink: bool = False,
    **config: Any,
) -> Graph:
    """Return the imported graph of a tiny BERT, without files; of ``tensors``, if they are given.

    ``sink`` makes the first token large and nearly the same in all texts.
    """
    full = {**DEFAULT_CONFIG, "id2label": dict(enumerate(LABELS.get(head, ()))), **config}
    if tensors is None:
        tensors = bert_tensors(full, head, seed=seed, prefix="", sink=sink)
    builder = ModelBuilder({name: _Loaded(array) for name, array in tensors.items()})
    settings = bert.read_config(ConfigReader(full))
    hidden = bert.encoder(builder, settings)
    options = HeadOptions(len(full["id2label"]), (SentenceModule("pooling", (pooling,)),))
    context = HeadContext(builder, hidden, settings, HEADS[head].spelling, options)
    return builder.graph(HEADS[head].outputs(context))


@functools.cache
def sink_graph(**sizes: int) -> tuple[Graph, Statistics]:
    """Return the fused graph of a tiny BERT whose first tokens are alike, and its calibration."""
    graph = fuse(bert_graph(sink=True, **sizes))
    edges = quantized_edges(graph, choose_precisions(graph, Recipe()))
    batches = [packed_inputs([20, 9, 30, 1], seed=seed) for seed in range(6)]
    return graph, calibrate(graph, batches, interpreter.run, edges)


def sink_graphs(recipe: Recipe, **sizes: int) -> Quantized:
    """Return :func:`sink_graph` in 8 bits."""
    graph, statistics = sink_graph(**sizes)
    return Quantizer(graph, recipe, statistics)(choose_precisions(graph, recipe))


def sharing_heads(graph: Graph) -> Graph:
    """The fused graph of a tiny BERT, its two heads with one head's keys and values."""
    constants, nodes = dict(graph.constants), []
    for node in graph.nodes:
        if node.op == "attention":
            for operand in ("weight", "bias"):
                name = f"{node['qkv']}.{operand}"
                rows = constants[name].array
                constants[name] = Constant(DType.F32, rows[: len(rows) * 2 // 3])
            node = node.with_attributes(num_key_value_heads=1)
        nodes.append(node)
    return graph.with_nodes(nodes, constants=constants)


def with_distance_bias(graph: Graph, reach: int = 3) -> Graph:
    """The graph with one bias by distance, which all its attention layers read."""
    attentions = [node for node in graph.nodes if node.op == "attention"]
    bias = constant(int(attentions[0].attributes["num_attention_heads"]), 2 * reach + 1)
    nodes = [
        node.with_inputs(distance_bias="distance_bias") if node in attentions else node
        for node in graph.nodes
    ]
    return graph.with_nodes(nodes, constants={**graph.constants, "distance_bias": bias})


def with_rotary(graph: Graph, pairs: int, window: int = 0) -> Graph:
    """The graph with angles by position, which turn queries and keys of all its attention layers."""
    angles = np.random.default_rng(5).uniform(-4, 4, (64, pairs))
    table = np.concatenate([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    nodes = [
        node.with_inputs(rotary="rotary", position_ids="position_ids").with_attributes(window=window)
        if node.op == "attention"
        else node
        for node in graph.nodes
    ]
    return graph.with_nodes(nodes, constants={**graph.constants, "rotary": Constant(DType.F32, table)})


class _Loaded:
    """A stored tensor that is in memory already."""

    def __init__(self, array: Array) -> None:
        self.shape, self._array = array.shape, array

    def read(self) -> Array:
        return self._array


def ops(graph: Graph) -> list[str]:
    """Return the graph's op names, in order."""
    return [each.op for each in graph.nodes]


def assert_same_results(before: Graph, after: Graph, inputs: Mapping[str, Array], atol: float) -> None:
    """Assert that both graphs give outputs of the same names, equal within ``atol``."""
    expected, found = interpreter.run(before, inputs), interpreter.run(after, inputs)
    assert list(found) == list(expected)
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=0, atol=atol, err_msg=name)


def gated_graph(width: int = 20) -> Graph:
    """A gated layer of ``width`` columns, and a linear layer that reads it, imported."""
    constants = {"table": constant(10, 8), **linear_constants("out", 8, width, seed=7)}
    for seed, name in enumerate(("ffn.gate", "ffn.value")):
        constants |= linear_constants(name, width, 8, seed=seed)
    nodes = (
        embed("x", word="table"),
        node("linear", "ffn.gate", "x"),
        node("linear", "ffn.value", "x"),
        node("gelu", "ffn.activation", "ffn.gate"),
        node("multiply", "ffn.multiply", "ffn.activation", "ffn.value"),
        node("linear", "out", "ffn.multiply"),
    )
    return Graph(IDS[:1], constants, nodes, {"y": "out"})
