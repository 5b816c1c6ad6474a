"""From a foreign graph, of whichever door, to an imported model: raised, proven, named, with its facts."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from bertc.architectures.rotary import MAX_POSITIONS
from bertc.artifact.embedding_facts import EmbeddingFacts
from bertc.artifact.schema import Attribute, ModelInfo
from bertc.errors import CheckpointError
from bertc.foreign.graph import ForeignGraph
from bertc.foreign.names import rename
from bertc.foreign.prove import prove
from bertc.foreign.raising.raise_graph import POSITIONS, raise_graph
from bertc.foreign.share import share_weights
from bertc.foreign.simplify import simplify
from bertc.frontends.embedding_facts import EmbeddingConfig
from bertc.frontends.folder import CheckpointFolder
from bertc.frontends.imported_model import ImportedModel
from bertc.frontends.labels import read_labels
from bertc.frontends.model_class import tokenizer_class_of
from bertc.frontends.raised_outputs import Outputs, choose_outputs, select_masks
from bertc.frontends.sentence_transformers import (
    EMBEDDING_HEADS,
    SentenceModules,
    max_seq_length,
    read_modules,
    score_activation,
)
from bertc.frontends.tokenizer import VOCABULARY_FILES, mask_token_of, read_tokenizer
from bertc.ir.graph import Graph
from bertc.ir.ops import ACTIVATIONS
from bertc.ir.verifier import output_ports
from bertc.ports import SELECTED
from bertc.task_table import TASKS

_SETTINGS = ("tokenizer", "sentence_bert")
_ANY = 1_000_000
"""The longest sequence, and rows of a table of positions, where a model has no limit."""
_AS_IT_IS = "PreTrainedTokenizerFast"


class Texts(NamedTuple):
    """How texts become the ids of a model."""

    tokenizer_json: str
    """The tokenizer, "" if there is none."""
    limit: int
    """The longest sequence in tokens."""
    mask_token: str | None = None
    activation: str | None = None
    """What a cross-encoder puts on its logits, if that is said."""
    embedding: EmbeddingFacts = EmbeddingFacts()


@dataclass(frozen=True, eq=False)
class Beside:
    """The files beside a model: its config, its tokenizer, its modules of sentence-transformers."""

    folder: CheckpointFolder | None
    """The folder that has some of them, if there is one."""
    config: Mapping[str, Any] = field(default_factory=dict)
    modules: SentenceModules | None = None

    @classmethod
    def find(cls, model: Path, tokenizer: str | Path | None) -> Beside:
        """Return the files of a folder that the caller names, or of that of the model's file.

        A file in a folder called "onnx" has them one folder above. Raises ``CheckpointError`` if the folder
        that is named has no tokenizer.
        """
        above = [model.parent.parent] if model.parent.name == "onnx" else []
        places = [Path(tokenizer)] if tokenizer is not None else [model.parent, *above]
        for place in places:
            folder = CheckpointFolder(place, place.resolve().name)
            if any(folder.has(name) for name in (*VOCABULARY_FILES, "config.json")):
                break
        else:
            folder = None
        if tokenizer is not None and (folder is None or not _has_tokenizer(folder)):
            raise CheckpointError(f"{tokenizer} has no tokenizer: expected a folder with tokenizer.json")
        if folder is None:
            return cls(None)
        return cls(folder, folder.read_json_if_there("config.json"), read_modules(folder))

    def texts(self, longest: int, task: str) -> Texts:
        """Return how texts become the ids of a model, of at most ``longest`` tokens."""
        folder = self.folder
        if folder is None or not _has_tokenizer(folder):
            return Texts("", longest)
        settings, sentence = (folder.read_json_if_there(f"{name}_config.json") for name in _SETTINGS)
        plain = max_seq_length(sentence, settings, longest)
        kind = self.config.get("tokenizer_class") or tokenizer_class_of(self.config.get("model_type"))
        found = read_tokenizer(folder, "", settings, sentence, default_class=kind or _AS_IT_IS, limit=plain)
        activation = score_activation(folder, self.config)
        mask_token = mask_token_of(found, settings)
        if task not in EMBEDDING_HEADS:
            return Texts(found, plain, mask_token, activation)
        embedding = EmbeddingConfig(folder, self.modules, sentence)
        found = embedding.register_prefixes(found)
        lengths = embedding.lengths(plain, longest)
        limit = max(*lengths.values(), embedding.expansion_length or 0)
        return Texts(
            found, limit, mask_token, activation, embedding.facts(found, mask_token, lengths, longest)
        )

    @classmethod
    def of_object(cls, config: Mapping[str, Any], tokenizer: str | Path | None) -> Beside:
        """Return the config of a model in memory, which counts, and the files of the tokenizer's folder."""
        if tokenizer is None:
            return cls(None, config)
        found = cls.find(Path(tokenizer) / "model", tokenizer)
        return cls(found.folder, {**found.config, **config}, found.modules)


def _has_tokenizer(folder: CheckpointFolder) -> bool:
    return any(folder.has(name) for name in VOCABULARY_FILES)


def import_raised(
    foreign: ForeignGraph,
    beside: Beside,
    *,
    name: str,
    files: Mapping[str, str],
    notes: tuple[str, ...],
    output: str | None = None,
    task: str | None = None,
) -> ImportedModel:
    """Return the model of a foreign graph; ``files`` are the hashes of what was read.

    Raises ``CheckpointError`` that names the node which cannot be compiled, or whose value differs.
    """
    graph, hidden, outputs, limit = _raise(foreign, beside, output, task)
    facts = _facts(graph)
    longest = min(int(facts["max_position_embeddings"]) - int(facts["first_position"]), limit)
    texts = beside.texts(longest, outputs.task)
    told = [*notes, *outputs.notes]
    if not texts.tokenizer_json:
        told.append("the file has no tokenizer: it takes ids alone")
        warnings.warn(f"{name} has no tokenizer beside it: name its folder, or pass ids alone", stacklevel=3)
    if texts.mask_token and TASKS[outputs.task].rows == SELECTED:
        facts["mask_token"] = texts.mask_token
    if texts.activation and outputs.task == "classification":
        facts["activation_fn"] = texts.activation
    classes, problem_type = beside.config.get("architectures"), beside.config.get("problem_type")
    info = ModelInfo(
        name=name,
        architecture=str(classes[0]) if isinstance(classes, list) and classes else "unnamed encoder",
        task=outputs.task,
        outputs=output_ports(graph),
        max_seq_length=texts.limit,
        labels=_labels(graph, outputs, beside.config),
        hidden_states=hidden,
        problem_type=problem_type if isinstance(problem_type, str) else None,
        facts=facts,
        embedding=texts.embedding,
    )
    hashes = {**files, **(beside.folder.hashes if beside.folder is not None else {})}
    source = {"name": name, "files": dict(sorted(hashes.items()))}
    return ImportedModel(graph, info, texts.tokenizer_json, source, tuple(told))


def _raise(
    foreign: ForeignGraph, beside: Beside, output: str | None, task: str | None
) -> tuple[Graph, tuple[str, ...], Outputs, int]:
    """Return the graph that a foreign graph was raised to, hidden states, outputs, the longest sequence."""
    positions = beside.config.get("max_position_embeddings")
    if not isinstance(positions, int) or not 0 < positions <= MAX_POSITIONS:
        positions = POSITIONS
    raiser = raise_graph(simplify(foreign), positions)
    modules = None if beside.modules is None else beside.modules.modules
    if beside.modules is not None:
        raiser.tensors.update(beside.modules.tensors)
    outputs = choose_outputs(raiser, beside.config, modules, output, task)
    graph = raiser.builder.graph(outputs.values)
    prove(raiser, graph)
    graph, hidden = rename(graph, outputs.task)
    graph = share_weights(graph)
    if TASKS[outputs.task].rows == SELECTED:
        graph = select_masks(graph, TASKS[outputs.task].output)
    return graph, hidden, outputs, raiser.longest or _ANY


def _labels(graph: Graph, outputs: Outputs, config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a name for each column of labeled logits: config.json's, if it has as many."""
    if not TASKS[outputs.task].labeled:
        return ()
    width = next(port.columns for port in output_ports(graph) if port.name == TASKS[outputs.task].output)
    try:
        names = read_labels(config)
    except CheckpointError:  # the graph counts, whatever stands beside it
        names = ()
    return names if len(names) == width else tuple(f"LABEL_{i}" for i in range(width))


def _facts(graph: Graph) -> dict[str, Attribute]:
    """Return the sizes of an encoder, as its nodes have them, by the names of Hugging Face's configs."""
    facts: dict[str, Attribute] = {"max_position_embeddings": _ANY, "first_position": 0}
    sizes = {"word": "vocab_size", "token_type": "type_vocab_size", "position": "max_position_embeddings"}
    for node in graph.nodes:
        for table, fact in sizes.items():
            if table in node.inputs:
                facts[fact] = int(graph.constants[node[table]].source.shape[0])
        if "rotary" in node.inputs:
            rows = int(graph.constants[node["rotary"]].source.shape[0])
            facts["max_position_embeddings"] = min(int(facts["max_position_embeddings"]), rows)
        if "position" in node.inputs:
            facts["first_position"] = node.attributes["first_position"]
        if node.op == "attention":
            facts["num_attention_heads"] = node.attributes["num_attention_heads"]
        if node.name == "encoder.layer.0.attention.output.dense" and node.op == "linear":
            facts["hidden_size"] = int(graph.constants[node["weight"]].source.shape[0])
        if node.name == "encoder.layer.0.intermediate.dense" and node.op == "linear":
            facts["intermediate_size"] = int(graph.constants[node["weight"]].source.shape[0])
        if node.name.startswith("encoder.layer.0.") and node.op in ACTIVATIONS:
            facts["activation"] = node.op
        if node.op == "layer_norm":
            facts.setdefault("layer_norm_eps", node.attributes["epsilon"])
    norms = [node for node in graph.nodes if node.op == "layer_norm"]
    if norms and "hidden_size" not in facts:  # the host attends, so that no layer has its name
        facts["hidden_size"] = int(graph.constants[norms[-1]["gamma"]].source.shape[0])
    facts["num_hidden_layers"] = sum(node.op == "attention" for node in graph.nodes)
    return facts
