"""Names for the nodes of a raised graph, by their place in it: those that BERT's checkpoints use.

So recipes and reports speak of a layer by the same name, whichever door the model came through.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from bertc.ir.graph import Graph, Node
from bertc.ir.ops import ACTIVATIONS
from bertc.ports import HOST

_ACTIVATION = "activation"
_AFTER_ATTENTION = (
    ("linear", "attention.output.dense"),
    ("add", "attention.output.add"),
    ("layer_norm", "attention.output.LayerNorm"),
    ("linear", "intermediate.dense"),
    (_ACTIVATION, "intermediate.activation"),
    ("linear", "output.dense"),
    ("add", "output.add"),
    ("layer_norm", "output.LayerNorm"),
)
"""A layer of BERT from its attention on: each op reads the one before."""
_TABLES = {
    "word": "word_embeddings",
    "token_type": "token_type_embeddings",
    "position": "position_embeddings",
}


_PREDICTIONS = {
    "head.linear": "cls.predictions.transform.dense",
    "head.activation": "cls.predictions.transform.dense.activation",
    "head.layer_norm": "cls.predictions.transform.LayerNorm",
    "classifier": "cls.predictions.decoder",
}
_HEADS = {"question_answering": {"classifier": "qa_outputs"}, "masked_lm": _PREDICTIONS}
"""What BERT calls the parts of a head that has names of its own, by the task."""


def rename(graph: Graph, task: str) -> tuple[Graph, tuple[str, ...]]:
    """Return the graph with names by structure, and the values of the embeddings and of each layer."""
    names = _names(graph, _HEADS.get(task, {}))
    constants = {_constant(name, names): constant for name, constant in graph.constants.items()}
    values = {**names, **{name: _constant(name, names) for name in graph.constants}}
    nodes = [
        dataclasses.replace(
            node,
            name=names[node.name],
            outputs=tuple(names[value] for value in node.outputs),
            inputs=MappingProxyType(
                {operand: values.get(value, value) for operand, value in node.inputs.items()}
            ),
        )
        for node in graph.nodes
    ]
    outputs = {public: values[value] for public, value in graph.outputs.items()}
    found = {node.name for node in nodes}
    layers = sum(node.op == "attention" for node in nodes)
    renamed = dataclasses.replace(graph, nodes=tuple(nodes), constants=constants, outputs=outputs)
    consumers = renamed.consumers()
    # With norms before the parts of a layer, it gives the sum that its next reader's norm is of.
    ends = [f"encoder.layer.{i}.output" for i in range(layers)]
    parts = ["add" if len(consumers.get(f"{end}.add", ())) > 1 else "LayerNorm" for end in ends]
    hidden = ("embeddings.LayerNorm", *(f"{end}.{part}" for end, part in zip(ends, parts, strict=True)))
    return renamed, hidden if found.issuperset(hidden) else ()


def _constant(name: str, names: Mapping[str, str]) -> str:
    module, _, part = name.rpartition(".")
    return f"{names[module]}.{part}" if module in names else name


def _names(graph: Graph, heads: Mapping[str, str]) -> dict[str, str]:
    names: dict[str, str] = {}
    for node, name in (*_encoder(graph), *_embeddings(graph)):
        if name not in names.values():
            names.setdefault(node.name, name)
    taken = Counter(names.values())
    for node, name in _rest(graph, names):
        name = heads.get(name, name)
        taken[name] += 1
        names[node.name] = name if taken[name] == 1 else f"{name}.{taken[name]}"
    return names


def _encoder(graph: Graph) -> Iterator[tuple[Node, str]]:
    producers, consumers = graph.producers(), graph.consumers()
    named: set[str] = set()
    for index, attention in enumerate(node for node in graph.nodes if node.op == "attention"):
        layer = f"encoder.layer.{index}"
        for part in ("query", "key", "value"):
            projection = producers.get(attention[part])
            if projection is not None and projection.op == "linear":
                yield projection, f"{layer}.attention.self.{part}"
        yield attention, f"{layer}.attention.self"
        last = attention
        for op, name in _AFTER_ATTENTION:
            readers = [
                node
                for node in consumers.get(last.outputs[0], [])
                if _kind(node) == op and node.name not in named
            ]
            # The host may stand for an op, or for several; what follows it has the names of old.
            hosts = [node for node in consumers.get(last.outputs[0], []) if node.op == HOST]
            if not readers and (gate := _gated(consumers.get(last.outputs[0], []))) is not None:
                named.add(gate.name)
                yield gate, f"{layer}.intermediate.multiply"
                value = next(each for each in gate.inputs.values() if each != last.outputs[0])
                yield producers[value], f"{layer}.intermediate.value"
                readers = [each for each in consumers.get(gate.outputs[0], []) if _kind(each) == op]
            if not readers and last.op == HOST:
                continue
            if not readers and not hosts:
                break
            last = (readers or hosts)[0]
            named.add(last.name)
            yield last, f"{layer}.{name}"


def _gated(readers: Sequence[Node]) -> Node | None:
    """Return what multiplies a gate with its value, if nothing else reads the gate."""
    return readers[0] if len(readers) == 1 and readers[0].op == "multiply" else None


def _kind(node: Node) -> str:
    return _ACTIVATION if node.op in ACTIVATIONS else node.op


def _embeddings(graph: Graph) -> Iterator[tuple[Node, str]]:
    consumers = graph.consumers()
    for node in graph.nodes:
        table = next((table for table in _TABLES if table in node.inputs), None)
        if node.op != "embed" or table is None:
            continue
        yield node, f"embeddings.{_TABLES[table]}"
        for reader in consumers.get(node.outputs[0], []):
            if reader.op == "add" and table != "word":
                yield reader, f"embeddings.add_{table}"
            if reader.op == "layer_norm":
                yield reader, "embeddings.LayerNorm"
            for later in consumers.get(reader.outputs[0], []) if reader.op == "add" else []:
                if later.op == "layer_norm":
                    yield later, "embeddings.LayerNorm"


def _rest(graph: Graph, names: Mapping[str, str]) -> Iterator[tuple[Node, str]]:
    """Yield what stands on the encoder: poolings, and layers that follow them or the last hidden state."""
    consumers, final = graph.consumers(), {*graph.outputs.values()}
    pooled = {node.outputs[0]: node for node in graph.nodes if node.op == "pool"}
    for node in graph.nodes:
        if node.name in names:
            continue
        followers = consumers.get(node.outputs[0], [])
        if node.op == "pool":
            dense = any(reader.op == "linear" for reader in followers)
            yield node, "pooler.first_token" if dense else "sentence.pooling"
        elif (
            node.op == "linear"
            and node["x"] in pooled
            and any(_kind(each) == _ACTIVATION for each in followers)
        ):
            yield node, "pooler.dense"
        elif node.op == "linear" and node.outputs[0] in final:
            yield node, "classifier"
        elif node.op == "normalize":
            yield node, "sentence.normalize"
        else:
            yield node, f"head.{_kind(node)}"
