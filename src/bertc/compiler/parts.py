"""Parts of a model: from the output of its embeddings on, or up to a node whose value becomes the output."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from bertc import passes
from bertc.artifact.embedding_facts import EmbeddingFacts
from bertc.atomic_file import check_destination
from bertc.compiler.calibration_data import CalibrationData
from bertc.compiler.cpu_target import CpuTarget
from bertc.compiler.samples import Batch, Samples
from bertc.embedding_tables import EmbeddingTables
from bertc.errors import CheckpointError, InputError
from bertc.frontends.imported_model import ImportedModel
from bertc.frontends.torch import is_module
from bertc.frontends.torchscript import SUFFIXES
from bertc.home import expand_home
from bertc.ir.graph import Graph, Node
from bertc.ir.reference import TABLES
from bertc.ir.verifier import output_ports
from bertc.passes.eliminate_dead_nodes import eliminate_dead_nodes
from bertc.passes.rewrite import rewrite
from bertc.ports import CU_SEQLENS, EMBEDDINGS, SEQUENCES, TOKENS, Port
from bertc.recipe import Recipe
from bertc.recipe.keys import Problem
from bertc.runtime.items import path_text

Array = np.ndarray[Any, Any]

IDS = "ids"
INPUTS = (IDS, EMBEDDINGS)
"""What a compiled file may take."""
_NAMED = 5
"""The names, at most, that an unknown one is answered with."""


def end_at(model: ImportedModel, name: str) -> ImportedModel:
    """Return the model up to the node ``name``, or to the last node of the module ``name``.

    Its value is the vectors of tokens, also called ``last_hidden_state``; or where it has a row for each
    sequence, the sentence's vector, also called ``pooler_output``. Raises ``InputError`` with the nearest
    names if there is no such node.
    """
    # A head of masked words works on selected tokens: without the selection, on all of them.
    chosen = {node.outputs[0]: node["x"] for node in model.graph.nodes if node.op == "select_rows"}
    graph = rewrite(
        model.graph,
        {node.name: () for node in model.graph.nodes if node.op == "select_rows"},
        renamed=chosen,
    )
    value = _find(graph, name).outputs[0]
    graph = _with_outputs(graph, {"value": value})
    per_sequence = output_ports(graph)[0].rows == SEQUENCES
    names = (
        ("sentence_embedding", "pooler_output") if per_sequence else ("token_embeddings", "last_hidden_state")
    )
    graph = _with_outputs(graph, dict.fromkeys(names, value))
    kept = graph.producers()
    info = dataclasses.replace(
        model.info,
        task="embedding" if per_sequence else "late_interaction",
        outputs=output_ports(graph),
        labels=(),
        problem_type=None,
        hidden_states=tuple(each for each in model.info.hidden_states if each in kept),
        facts={**model.info.facts, "until": name},
        embedding=EmbeddingFacts(),
    )
    return dataclasses.replace(model, graph=graph, info=info)


def _find(graph: Graph, name: str) -> Node:
    below = [node for node in graph.nodes if node.name == name or node.name.startswith(f"{name}.")]
    exact = [node for node in below if node.name == name]
    if below:
        return exact[0] if exact else below[-1]
    near = difflib.get_close_matches(name, list(dict.fromkeys(_names(graph))), _NAMED, cutoff=0.0)
    raise InputError(f"the model has no node {name!r} to end at: the nearest names are {', '.join(near)}")


def _names(graph: Graph) -> Iterator[str]:
    """Yield the names of all nodes and of the modules that they are in."""
    for node in graph.nodes:
        parts = node.name.split(".")
        yield from (".".join(parts[:count]) for count in range(len(parts), 0, -1))


def _with_outputs(graph: Graph, outputs: Mapping[str, str]) -> Graph:
    """Return the graph with these outputs, and what they need."""
    graph = eliminate_dead_nodes(graph.with_nodes(graph.nodes, outputs=outputs))
    read = {value for node in graph.nodes for value in node.inputs.values()} | {*outputs.values()}
    return dataclasses.replace(graph, inputs=tuple(port for port in graph.inputs if port.name in read))


@dataclass(frozen=True, eq=False)
class Part:
    """What is compiled of a model."""

    model: ImportedModel
    """The part: a model that may take ``embeddings``, float32 [tokens, width], instead of ids."""
    whole: ImportedModel
    """The same with its embeddings, which takes ids."""
    lookup: Graph | None = None
    """What makes embeddings of ids, fused; None for a part that takes ids."""

    @property
    def tables(self) -> EmbeddingTables:
        """What makes embeddings of ids, for those who feed the compiled file."""
        assert self.lookup is not None, "only a part that takes embeddings has tables"
        roles: dict[str, str] = {}
        facts: dict[str, Any] = {}
        for node in self.lookup.nodes:
            roles.update({role: node[role] for role in (*TABLES, "gamma", "beta") if node[role]})
            facts.update(node.attributes)
        tensors = {name: self.lookup.constants[name].array for name in roles.values()}
        return EmbeddingTables(tensors, roles, **facts)

    def enter(self, data: CalibrationData) -> CalibrationData:
        """Return data of the whole model as the part takes it: tokens are embedded when they are used."""
        if self.lookup is None:
            return data
        target = CpuTarget()
        samples = _embedded(data.samples, data.enter(self.lookup), target)
        return CalibrationData(samples, _embedded(data.held_out, self.lookup, target), data.read)

    def misfits(self, recipe: Recipe, eval_data: Any) -> Iterator[Problem]:
        """Yield what the recipe asks for and a part cannot have."""
        if self.lookup is not None and (eval_data or (recipe.budget and recipe.budget.eval_data)):
            yield Problem(("budget", "eval_data"), "it holds texts, a model that takes embeddings reads none")


def is_compiled(source: Any) -> bool:
    """Return whether a source is a compiled file, not one to compile. Raises ``InputError``."""
    if is_module(source):
        return False
    path = expand_home(
        path_text(source, "source", "the path of a file or a folder, a hub id, or an nn.Module")
    )
    suffix = path.suffix.lower()
    return suffix == ".bertc" or (path.is_file() and suffix not in (".onnx", *SUFFIXES))


def choose_part(model: ImportedModel, inputs: str, until: str | None) -> Part:
    """Return the part of a model from its ``INPUTS`` up to a node. Raises ``InputError``."""
    if inputs not in INPUTS:
        raise InputError(f"inputs is {inputs!r}, expected one of {', '.join(INPUTS)}")
    whole = model if until is None else end_at(model, until)
    return Part(whole, whole) if inputs == IDS else begin_at_embeddings(whole)


def tables_path(
    output: Path, inputs: str, embeddings: str | PathLike[str] | None, source: object = None
) -> Path | None:
    """Return where the embedding tables go. Raises ``InputError``, ``ArtifactError`` if they cannot."""
    if inputs != EMBEDDINGS:
        if embeddings is not None:
            raise InputError('embeddings is the file of the tables for inputs="embeddings": leave it out')
        return None
    if embeddings is None:
        return check_destination(output.with_name(f"{output.stem}.embeddings.safetensors"), source)
    path = Path(path_text(embeddings, "embeddings"))
    if path.resolve() == output.resolve():
        raise InputError(f"embeddings and the output are one file, {output}: name another one")
    return check_destination(path, source)


def begin_at_embeddings(model: ImportedModel) -> Part:
    """Return a model from its embeddings on: behind the norm of their sum, before any projection.

    Raises ``InputError`` if the model ends there, ``CheckpointError`` if ids are read in other places too.
    """
    value = _embedded_value(model.graph)
    if value in model.graph.outputs.values():
        raise InputError("the model ends at its embeddings: nothing is left to compile behind them")
    lookup = passes.fuse(_with_outputs(model.graph, {EMBEDDINGS: value}))
    producer = model.graph.producers()[value]
    graph = rewrite(model.graph, {producer.name: ()}, renamed={value: EMBEDDINGS})
    port = Port(EMBEDDINGS, "f32", TOKENS, output_ports(lookup)[0].columns)
    graph = _with_outputs(dataclasses.replace(graph, inputs=(port, *graph.inputs)), graph.outputs)
    if (again := next((node for node in graph.nodes if node.op == "embed"), None)) is not None:
        raise CheckpointError(f"node {again.name!r} reads ids behind the embeddings: compile the whole model")
    hidden = tuple(EMBEDDINGS if each == value else each for each in model.info.hidden_states)
    info = dataclasses.replace(model.info, hidden_states=hidden)
    return Part(dataclasses.replace(model, graph=graph, info=info), model, lookup)


def _embedded_value(graph: Graph) -> str:
    """Return the sum of all rows of tables, or what the layer norm makes of it that is its only reader."""
    values: set[str] = set()
    last = ""
    for node in graph.nodes:
        if node.op == "embed" or (node.op == "add" and values.issuperset(node.inputs.values())):
            values.update(node.outputs)
            last = node.outputs[0]
    readers = graph.consumers().get(last, [])
    # A norm beside other readers is the first layer's, of a model with norms before the parts of a layer.
    if len(readers) == 1 and readers[0].op == "layer_norm" and last not in graph.outputs.values():
        return readers[0].outputs[0]
    return last


class _EmbeddedInputs(Mapping[str, Array]):
    """The inputs of a batch, whose embeddings are made anew each time: all at once they take gigabytes."""

    def __init__(self, inputs: Mapping[str, Array], lookup: Graph, target: CpuTarget) -> None:
        ids = {*TABLES.values()}
        self._given = {name: array for name, array in inputs.items() if name not in ids}
        self._ids = {name: array for name, array in inputs.items() if name in ids or name == CU_SEQLENS}
        self._lookup, self._target = lookup, target

    def __getitem__(self, name: str) -> Array:
        if name == EMBEDDINGS:
            return self._target(self._lookup, self._ids)[EMBEDDINGS]
        return self._given[name]

    def __iter__(self) -> Iterator[str]:
        return iter((EMBEDDINGS, *self._given))

    def __len__(self) -> int:
        return len(self._given) + 1


def _embedded(samples: Samples, lookup: Graph, target: CpuTarget) -> Samples:
    batches = (Batch(each.texts, _EmbeddedInputs(each.inputs, lookup, target)) for each in samples.batches)
    return dataclasses.replace(samples, batches=tuple(batches))
