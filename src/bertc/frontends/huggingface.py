"""The front end for Hugging Face model folders and hub ids: config, weights and tokenizer -> graph."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bertc.architectures import ConfigReader, EncoderConfig, Family, ModelBuilder
from bertc.artifact.schema import Attribute, ModelInfo
from bertc.errors import CheckpointError
from bertc.frontends import hub
from bertc.frontends.checkpoint import read_tensors
from bertc.frontends.folder import CheckpointFolder, model_name
from bertc.frontends.imported_model import ImportedModel
from bertc.frontends.model_class import ENCODER_HEAD, find_class
from bertc.frontends.sentence_transformers import SentenceModules, max_seq_length, read_modules
from bertc.frontends.tokenizer import read_tokenizer, tokens_beyond
from bertc.frontends.weights import by_plain_name
from bertc.heads import Head, HeadOptions
from bertc.ir.verifier import output_ports

_DEFAULT_NUM_LABELS = 2
"""The number of labels where config.json has neither id2label nor num_labels, as in ``transformers``."""
_NAMED = 8
"""The number of tokens that a warning names at most."""


def import_model(source: str | Path) -> ImportedModel:
    """Read a model from a folder, or from the hub by its id.

    Raises ``CheckpointError`` that names what is missing, damaged or not supported.
    """
    folder = _locate(source)
    modules = read_modules(folder)
    subfolder = modules.subfolder if modules else ""
    raw = folder.read_json(f"{subfolder}config.json")
    with _name_the_folder(folder):
        model = find_class(raw, is_sentence_model=modules is not None)
    config = _read_config(model.family, raw)
    tokenizer_config = folder.read_json_if_there(f"{subfolder}tokenizer_config.json")
    sentence_config = folder.read_json_if_there(f"{subfolder}sentence_bert_config.json")
    labels = _labels(raw) if model.head.has_labels else ()
    limit = max_seq_length(sentence_config, tokenizer_config, config.longest_sequence)
    tokenizer_json = read_tokenizer(
        folder,
        subfolder,
        tokenizer_config,
        sentence_config,
        default_class=raw.get("tokenizer_class") or model.family.tokenizer_class,
        limit=limit,
    )
    _warn_of_tokens_beyond(tokenizer_json, config.vocab_size)
    stored = read_tensors(folder, subfolder, model_class=model.name)
    with _name_the_folder(folder):
        builder = ModelBuilder(by_plain_name(stored, model.family.renames, _names_of(model.family, config)))
    sentence = modules or SentenceModules()
    options = HeadOptions(len(labels), sentence.pooling, sentence.normalize)
    hidden = model.family.encoder(builder, config)
    outputs = model.head.outputs(builder, hidden, model.family.heads[model.head.name], options)
    with _name_the_folder(folder):
        graph = builder.graph(outputs)
    problem_type = raw.get("problem_type")
    info = ModelInfo(
        name=folder.name,
        architecture=model.name,
        task=model.head.task,
        outputs=output_ports(graph),
        max_seq_length=limit,
        labels=labels,
        problem_type=problem_type if isinstance(problem_type, str) else None,
        facts=_facts(config, model.head, options),
    )
    return ImportedModel(graph, info, tokenizer_json, _provenance(folder))


def _locate(source: str | Path) -> CheckpointFolder:
    path = Path(source).expanduser()
    if path.is_dir():
        return CheckpointFolder(path, model_name(path))
    if path.exists():
        raise CheckpointError(f"{path} is a file, expected a model folder with config.json")
    if isinstance(source, Path) or not hub.is_hub_id(source):
        raise CheckpointError(f"there is no folder {str(path)!r}, and it is not a hub id (owner/name)")
    return hub.download(source)


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


def _names_of(family: Family, config: EncoderConfig) -> Collection[str]:
    """Return the names of the encoder's tensors, found by building it once without any."""
    draft = ModelBuilder({})
    family.encoder(draft, config)
    return draft.wanted


def _read_config(family: Family, raw: Mapping[str, Any]) -> EncoderConfig:
    reader = ConfigReader(raw)
    config = family.read_config(reader)
    if reader.problems:
        raise CheckpointError(f"config.json: {'; '.join(reader.problems)}")
    return config


def _facts(config: EncoderConfig, head: Head, options: HeadOptions) -> dict[str, Attribute]:
    """Return the facts that people want to know of a model: sizes, and what makes a sentence's vector."""
    sentence: dict[str, Attribute] = {
        "pooling": options.pooling,
        "normalize_embeddings": options.normalize,
    }
    return {**config.facts(), **(sentence if head.name == ENCODER_HEAD else {})}


def _labels(raw: Mapping[str, Any]) -> tuple[str, ...]:
    table = raw.get("id2label")
    if table is None:
        count = raw.get("num_labels", _DEFAULT_NUM_LABELS)
        if type(count) is not int or count < 1:
            raise CheckpointError(f"config.json: num_labels is {count!r}, expected a positive integer")
        return tuple(f"LABEL_{i}" for i in range(count))
    keys = [str(i) for i in range(len(table))] if isinstance(table, dict) else []
    if not keys or set(table) != set(keys):
        raise CheckpointError('config.json: id2label must map "0", "1", ... to label names, without gaps')
    return tuple(str(table[key]) for key in keys)


def _provenance(folder: CheckpointFolder) -> dict[str, Any]:
    source: dict[str, Any] = {"name": folder.name, "files": dict(sorted(folder.hashes.items()))}
    return source if folder.revision is None else {**source, "revision": folder.revision}
