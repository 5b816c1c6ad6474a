"""The front end for Hugging Face model folders and hub ids: config, weights and tokenizer -> graph."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bertc.architectures import FAMILIES, Family
from bertc.architectures.base import EncoderConfig, Head
from bertc.artifact.schema import ModelInfo
from bertc.errors import CheckpointError
from bertc.frontends import hub, weights
from bertc.frontends.checkpoint import StoredTensor, read_tensors
from bertc.frontends.folder import CheckpointFolder
from bertc.frontends.imported_model import ImportedModel
from bertc.frontends.sentence_transformers import SentenceModules, max_seq_length, read_modules
from bertc.frontends.tokenizer import read_tokenizer
from bertc.ir.verifier import verify

_DEFAULT_NUM_LABELS = 2
"""As in ``transformers``, when config.json has neither id2label nor num_labels."""


def import_model(source: str | Path) -> ImportedModel:
    """Read a model from a folder, or from the hub by its id.

    Raises ``CheckpointError`` that names what is missing, damaged or not supported.
    """
    folder = _locate(source)
    modules = read_modules(folder)
    subfolder = modules.subfolder if modules else ""
    raw = folder.read_json(f"{subfolder}config.json")
    family, model_class = _family(raw, folder, is_sentence_model=modules is not None)
    config = family.read_config(raw)
    tokenizer_config = folder.read_json_if_there(f"{subfolder}tokenizer_config.json")
    sentence_config = folder.read_json_if_there(f"{subfolder}sentence_bert_config.json")
    labels = _labels(raw) if family.tasks[model_class] != "embedding" else ()
    tensors = weights.by_plain_name(read_tensors(folder, subfolder, model_class=model_class), family.prefix)
    head = _head(family.tasks[model_class], modules or SentenceModules(), len(labels), tensors)
    info = _info(
        folder.name,
        model_class,
        config,
        head,
        labels,
        max_seq_length=max_seq_length(sentence_config, tokenizer_config, config.max_position_embeddings),
        problem_type=raw.get("problem_type"),
    )
    tokenizer_json = read_tokenizer(folder, subfolder, tokenizer_config, sentence_config)
    arrays = weights.load(tensors, family.tensor_shapes(config, head), str(folder.path))
    graph = family.build(config, head, arrays)
    verify(graph)
    return ImportedModel(graph, info, tokenizer_json, _provenance(folder))


def _locate(source: str | Path) -> CheckpointFolder:
    path = Path(source).expanduser()
    if path.is_dir():
        resolved = path.resolve()
        name = resolved.parent.name if resolved.name == "model" else resolved.name
        return CheckpointFolder(path, name)
    if path.exists():
        raise CheckpointError(f"{path} is a file, expected a model folder with config.json")
    if isinstance(source, Path) or not hub.is_hub_id(source):
        raise CheckpointError(f"there is no folder {str(path)!r}, and it is not a hub id (owner/name)")
    return hub.download(source)


def _family(
    raw: Mapping[str, Any], folder: CheckpointFolder, *, is_sentence_model: bool
) -> tuple[Family, str]:
    model_type, classes = raw.get("model_type"), raw.get("architectures")
    family = FAMILIES.get(str(model_type))
    supported = ", ".join(name for each in FAMILIES.values() for name in each.tasks)
    if family is None:
        raise CheckpointError(
            f"{folder.path}: config.json has model_type {model_type!r} (architectures {classes!r}), "
            f"which is not supported. Supported are {supported}"
        )
    encoder = next(name for name, task in family.tasks.items() if task == "embedding")
    if is_sentence_model or not classes:
        # sentence-transformers takes the bare encoder whatever head the checkpoint was saved with.
        return family, encoder
    if not isinstance(classes, list) or len(classes) != 1 or classes[0] not in family.tasks:
        raise CheckpointError(
            f"{folder.path}: config.json has architectures {classes!r}, which is not supported. "
            f"Supported are {supported}"
        )
    return family, classes[0]


def _head(task: str, modules: SentenceModules, num_labels: int, tensors: Mapping[str, StoredTensor]) -> Head:
    if task != "embedding":
        return Head(task, num_labels, with_pooler=task == "classification")
    has_pooler = any(name.startswith("pooler.") for name in tensors)
    return Head(
        task,
        with_pooler=has_pooler or modules.pooling == "pooler",
        pooling=modules.pooling,
        normalize=modules.normalize,
    )


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


def _info(
    name: str,
    model_class: str,
    config: EncoderConfig,
    head: Head,
    labels: tuple[str, ...],
    *,
    max_seq_length: int,
    problem_type: Any,
) -> ModelInfo:
    is_embedding = head.task == "embedding"
    return ModelInfo(
        name=name,
        architecture=model_class,
        task=head.task,
        hidden_size=config.hidden_size,
        num_hidden_layers=config.num_hidden_layers,
        num_attention_heads=config.num_attention_heads,
        intermediate_size=config.intermediate_size,
        vocab_size=config.vocab_size,
        max_position_embeddings=config.max_position_embeddings,
        type_vocab_size=config.type_vocab_size,
        max_seq_length=max_seq_length,
        pooling=head.pooling if is_embedding else None,
        normalize_embeddings=head.normalize,
        id2label=labels,
        problem_type=problem_type if isinstance(problem_type, str) else None,
    )


def _provenance(folder: CheckpointFolder) -> dict[str, Any]:
    source: dict[str, Any] = {"name": folder.name, "files": dict(sorted(folder.hashes.items()))}
    return source if folder.revision is None else {**source, "revision": folder.revision}
