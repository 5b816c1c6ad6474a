"""The front end for Hugging Face model folders and hub ids: config, weights and tokenizer -> graph."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from bertc.architectures import ConfigReader, EncoderConfig, Family, ModelBuilder
from bertc.artifact.embedding_facts import EmbeddingFacts
from bertc.artifact.schema import Attribute, ModelInfo
from bertc.errors import CheckpointError
from bertc.frontends import hub
from bertc.frontends.adapters import merge_adapter
from bertc.frontends.checkpoint import read_tensors
from bertc.frontends.embedding_facts import EmbeddingConfig
from bertc.frontends.folder import CheckpointFolder, model_name, snapshot_revision
from bertc.frontends.imported_model import ImportedModel
from bertc.frontends.labels import read_labels
from bertc.frontends.model_class import ENCODER_HEAD, ModelClass, as_transformers_has_it, find_class
from bertc.frontends.sentence_transformers import (
    EMBEDDING_HEADS,
    assumed_modules,
    assumptions,
    max_seq_length,
    read_modules,
    score_activation,
)
from bertc.frontends.tokenizer import mask_token_of, read_tokenizer, tokens_beyond
from bertc.frontends.weights import by_plain_name, unused_modules
from bertc.heads import Head, HeadContext, HeadOptions
from bertc.home import expand_home
from bertc.ir.graph import Graph, StoredTensor
from bertc.ir.verifier import output_ports
from bertc.ports import takes_selection

_NAMED = 8
"""The number of tokens that a warning names at most."""


def import_model(
    source: str | Path, *, task: str | None = None, subfolder: str = "", adapter: str | None = None
) -> ImportedModel:
    """Read a model from a folder, or from the hub by its id.

    ``subfolder`` is where in it all files of the model are, as in ``from_pretrained``. ``task`` asks for a
    head that serves it, whatever head the checkpoint was saved with: a masked LM as an embedding model.
    ``adapter`` is one of those that the checkpoint holds, by task or language: its weights are merged.
    Raises ``CheckpointError`` that names what is missing, damaged or not supported.
    """
    folder = locate(source, subfolder)
    modules = read_modules(folder)
    subfolder = modules.subfolder if modules else ""
    _refuse_adapter(folder, subfolder)
    raw = folder.read_json(f"{subfolder}config.json")
    with _name_the_folder(folder):
        raw = dict(as_transformers_has_it(raw))
        model = find_class(raw, head=modules.head if modules else None, task=task)
    config = _read_config(model.family, raw)
    tokenizer_config = folder.read_json_if_there(f"{subfolder}tokenizer_config.json")
    sentence_config = folder.read_json_if_there(f"{subfolder}sentence_bert_config.json")
    labels = read_labels(raw) if model.head.has_labels else ()
    limit = max_seq_length(sentence_config, tokenizer_config, config.longest_sequence)
    embedding = EmbeddingConfig(folder, modules, sentence_config)
    tokenizer_json = embedding.register_prefixes(
        read_tokenizer(
            folder,
            subfolder,
            tokenizer_config,
            sentence_config,
            default_class=raw.get("tokenizer_class") or model.tokenizer_class,
            limit=limit,
        )
    )
    _warn_of_tokens_beyond(tokenizer_json, config.vocab_size)
    own_modules = modules is not None and model.head.name == modules.head
    options = HeadOptions(
        len(labels),
        modules=modules.modules if modules and own_modules else assumed_modules(model.head.name),
        partial_attention=embedding.partial_attention,
        tie_word_embeddings=bool(raw.get("tie_word_embeddings", True)),
    )
    stored = read_tensors(folder, subfolder, model_class=model.name)
    with _name_the_folder(folder):
        stored = merge_adapter(folder, subfolder, stored, raw, adapter)
    built = _build(folder, stored, model, config, options, modules.tensors if modules else {})
    mask_token = mask_token_of(tokenizer_json, tokenizer_config)
    lengths = embedding.lengths(limit, config.longest_sequence)
    longest = max(*lengths.values(), embedding.expansion_length or 0)
    problem_type = raw.get("problem_type")
    activation = score_activation(folder, raw) if model.head.task == "classification" else None
    info = ModelInfo(
        name=folder.name,
        architecture=model.name,
        task=model.head.task,
        outputs=output_ports(built.graph),
        max_seq_length=longest,
        labels=labels,
        hidden_states=built.hidden_states,
        problem_type=problem_type if isinstance(problem_type, str) else None,
        facts={
            **_facts(config, model.head, options),
            **({"mask_token": mask_token} if mask_token and takes_selection(built.graph.inputs) else {}),
            **({} if activation is None else {"activation_fn": activation}),
            **({} if adapter is None else {"adapter": adapter}),
        },
        embedding=(
            embedding.facts(tokenizer_json, mask_token, lengths, config.longest_sequence)
            if model.head.name in EMBEDDING_HEADS
            else EmbeddingFacts()
        ),
    )
    assumed = () if own_modules else assumptions(model.head.name, raw.get("architectures"))
    notes = (*assumed, *_notes(built.unused, config, info))
    return ImportedModel(built.graph, info, tokenizer_json, _provenance(folder), notes)


class _Built(NamedTuple):
    """A graph, and what else is known of a checkpoint once its tensors are asked for."""

    graph: Graph
    hidden_states: tuple[str, ...]
    unused: list[str]
    """The modules that the graph has no use for."""


def _build(
    folder: CheckpointFolder,
    stored: Mapping[str, StoredTensor],
    model: ModelClass,
    config: EncoderConfig,
    options: HeadOptions,
    module_tensors: Mapping[str, StoredTensor],
) -> _Built:
    """Build the graph of a family's encoder with a head, of the tensors that are stored in a folder."""
    with _name_the_folder(folder):
        plain = by_plain_name(stored, model.family.renames, _names_of(model.family, config))
    builder = ModelBuilder({**plain, **module_tensors})
    spelling = model.family.spelling(model.head.spelled_as or model.head.name, model.head.spelling)
    hidden = model.family.encoder(builder, config)
    outputs = model.head.outputs(HeadContext(builder, hidden, config, spelling, options))
    with _name_the_folder(folder):
        graph = builder.graph(outputs)
    return _Built(graph, tuple(builder.hidden_states), unused_modules(plain, builder.wanted))


def locate(source: str | Path, subfolder: str = "", *, offline: bool = False) -> CheckpointFolder:
    """Return the folder of a checkpoint; that of a hub id is downloaded, unless it must be there already.

    ``subfolder`` is where in the folder or repository it is. Raises ``CheckpointError`` if there is none,
    ``MissingExtraError`` without the hub's client.
    """
    path = expand_home(source)
    try:
        found, is_folder = path.exists(), path.is_dir()
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from None
    if is_folder and not (path / subfolder).is_dir():
        raise CheckpointError(f"{path} has no folder {subfolder!r}")
    if is_folder:
        path /= subfolder
        return CheckpointFolder(path, model_name(path), snapshot_revision(path))
    if found:
        raise CheckpointError(
            f"{path} is a file, expected a model folder with config.json (that of weights is {path.parent}),"
            " or an .onnx, .pt or .bertc file"
        )
    if isinstance(source, Path) or not hub.is_hub_id(source):
        raise CheckpointError(f"there is no folder {str(path)!r}, and it is not a hub id (owner/name)")
    return hub.download(source, subfolder, offline=offline)


def _refuse_adapter(folder: CheckpointFolder, subfolder: str) -> None:
    if folder.has(f"{subfolder}config.json") or not folder.has(f"{subfolder}adapter_config.json"):
        return
    base = folder.read_json(f"{subfolder}adapter_config.json").get("base_model_name_or_path")
    raise CheckpointError(
        f"{folder.path} holds an adapter (LoRA or its kin) for {base}, not a model: merge the two with "
        "peft's merge_and_unload(), save_pretrained() the result, and compile that"
    )


def _notes(unused: Sequence[str], config: EncoderConfig, info: ModelInfo) -> Iterator[str]:
    """Yield what was left out of the checkpoint."""
    if "encoder.layer" in unused:
        warnings.warn(
            f"the checkpoint of {info.name} has more layers than the {config.num_hidden_layers} that "
            "config.json says: they were left out",
            stacklevel=3,
        )
    if unused:
        yield f"{info.architecture} has no use for tensors of the checkpoint: {', '.join(unused)}"


@contextmanager
def _name_the_folder(folder: CheckpointFolder) -> Iterator[None]:
    """Say which folder a ``CheckpointError`` of the block is about."""
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f"{folder.path}: {error}") from None


def _warn_of_tokens_beyond(tokenizer_json: str, vocab_size: int) -> None:
    beyond = tokens_beyond(tokenizer_json, vocab_size)
    if beyond:
        named = ", ".join(map(repr, beyond[:_NAMED])) + (", ..." if len(beyond) > _NAMED else "")
        warnings.warn(
            f"the tokenizer has tokens that the model has no row for ({len(beyond)}: {named}): a text that "
            f"holds one will be refused. Resize the embeddings of the checkpoint, if that was forgotten",
            stacklevel=3,
        )


def _names_of(family: Family[Any], config: EncoderConfig) -> Collection[str]:
    """Return the names of the encoder's tensors, found by building it once without any."""
    draft = ModelBuilder({})
    family.encoder(draft, config)
    return draft.wanted


def _read_config(family: Family[Any], raw: Mapping[str, Any]) -> EncoderConfig:
    reader = ConfigReader(raw, family.config_keys)
    config: EncoderConfig = family.read_config(reader)
    if reader.problems:
        raise CheckpointError(f"config.json: {'; '.join(reader.problems)}")
    return config


def _facts(config: EncoderConfig, head: Head, options: HeadOptions) -> dict[str, Attribute]:
    """Return the facts that people want to know of a model: sizes, and what makes a sentence's vector."""
    if head.name != ENCODER_HEAD:
        return config.facts()
    kinds = [module.kind for module in options.modules]
    poolings = [mode for module in options.modules for mode in module.modes]
    return {
        **config.facts(),
        "pooling": "+".join(poolings),
        "normalize_embeddings": kinds[-1] == "normalize",
        **({"modules": " -> ".join(kinds)} if {"dense", "layer_norm"} & set(kinds) else {}),
    }


def _provenance(folder: CheckpointFolder) -> dict[str, Any]:
    source: dict[str, Any] = {"name": folder.name, "files": dict(sorted(folder.hashes.items()))}
    return source if folder.revision is None else {**source, "revision": folder.revision}
