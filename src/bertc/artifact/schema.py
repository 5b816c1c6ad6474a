"""What an artifact holds besides tensors: frozen dataclasses, and their JSON form.

``Manifest.from_json`` checks types and required keys of everything it reads; what the numbers of a
program mean is checked by the native core, once more, when the program is built.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from bertc.errors import ArtifactError

FORMAT_VERSION = 1
"""Raised when a reader of the old version could not run the new file."""

Task = Literal["embedding", "classification", "token_classification"]
Attribute = int | float | str | bool


@dataclass(frozen=True)
class ModelInfo:
    """What tasks and people need to know of the model."""

    name: str
    architecture: str
    """The Hugging Face class: ``BertModel``, ``BertForSequenceClassification``, ..."""
    task: str
    """One of ``Task``."""
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    vocab_size: int
    max_position_embeddings: int
    type_vocab_size: int
    max_seq_length: int
    """Longest sequence in tokens, special tokens included; longer texts are truncated."""
    pooling: str | None = None
    """``cls``, ``mean``, ``max`` or ``pooler`` for an embedding model, else None."""
    normalize_embeddings: bool = False
    """Whether the checkpoint itself ends in a Normalize module."""
    id2label: tuple[str, ...] = ()
    """Label names by class id, for a model with a head."""
    problem_type: str | None = None
    """As in ``config.json``: ``single_label_classification``, ``multi_label_classification``, ..."""


@dataclass(frozen=True)
class Buffer:
    """An activation of the program: ``rows`` x ``columns`` elements in an arena slot.

    A row takes ``columns`` rounded up to a multiple of 16 elements; the rest is zero. ``columns`` 0
    is a vector: one element per row, without padding.
    """

    name: str
    dtype: str
    rows: str
    """``tokens`` or ``sequences``."""
    columns: int
    slot: int


@dataclass(frozen=True)
class Step:
    """One native op. An operand is a buffer, a tensor or a model input, by name ("" if absent)."""

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class Program:
    """A linear list of native ops over planned buffers."""

    buffers: tuple[Buffer, ...]
    slots: tuple[int, ...]
    """Bytes per row of each arena slot."""
    steps: tuple[Step, ...]
    outputs: Mapping[str, str]
    """Public output name -> buffer name."""


@dataclass(frozen=True)
class Manifest:
    """Everything in an artifact but its tensors and its tokenizer."""

    model: ModelInfo
    program: Program
    recipe: Mapping[str, Any]
    certificate: Mapping[str, Any]
    provenance: Mapping[str, Any]

    def to_json(self) -> str:
        """Compact JSON, keys in the order of the fields."""
        return json.dumps(dataclasses.asdict(_plain(self)), ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Parse and check; raises ``ArtifactError`` that names the first key that is wrong."""
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ArtifactError(
                f"the manifest is not valid JSON ({error}): compile the model again"
            ) from None
        # JSON can spell half of a surrogate pair, which no terminal and no file can take.
        if "\\u" in text and not is_unicode(json.dumps(data, ensure_ascii=False)):
            raise ArtifactError("the manifest holds text that is no Unicode: compile the model again")
        manifest: Manifest = _build(cls, data, "manifest")
        _check_facts(manifest)
        return manifest


def is_unicode(text: str) -> bool:
    """Whether the text can be written as UTF-8: it holds no lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


_TASK_OUTPUT = {
    "embedding": "sentence_embedding",
    "classification": "logits",
    "token_classification": "logits",
}


def _check_facts(manifest: Manifest) -> None:
    """What is said of the model must fit the program: tasks size arrays and look up labels by it."""
    info, program = manifest.model, manifest.program
    for entry in dataclasses.fields(info):
        value = getattr(info, entry.name)
        if type(value) is int and value < 1:
            raise ArtifactError(f"manifest.model.{entry.name} is {value}: compile the model again")
    if not info.max_seq_length <= info.max_position_embeddings:
        raise ArtifactError(
            f"manifest.model.max_seq_length is {info.max_seq_length}, beyond the position table "
            f"({info.max_position_embeddings} rows): compile the model again"
        )
    output = _TASK_OUTPUT.get(info.task)
    if output is None:  # of a newer version: the registry of tasks says so
        return
    expected = info.hidden_size if info.task == "embedding" else len(info.id2label)
    columns = [buffer.columns for buffer in program.buffers if buffer.name == program.outputs.get(output)]
    if columns != [expected]:
        raise ArtifactError(
            f"the program's output {output!r} does not fit manifest.model (columns {columns}, expected "
            f"{expected}): compile the model again"
        )


def _plain(value: Any) -> Any:
    """``dataclasses.asdict`` cannot copy mapping proxies: make them dicts first."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        changes = {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return dataclasses.replace(value, **changes)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return tuple(_plain(item) for item in value)
    return value


T = TypeVar("T")


def _build(kind: type[T], data: Any, where: str) -> T:
    if not isinstance(data, dict):
        raise ArtifactError(f"{where} must be an object, found {type(data).__name__}")
    hints = get_type_hints(kind)
    values: dict[str, Any] = {}
    for entry in dataclasses.fields(kind):  # type: ignore[arg-type]
        if entry.name in data:
            values[entry.name] = _convert(hints[entry.name], data[entry.name], f"{where}.{entry.name}")
        elif entry.default is dataclasses.MISSING and entry.default_factory is dataclasses.MISSING:
            raise ArtifactError(f"{where}.{entry.name} is missing: compile the model again")
    return kind(**values)


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if dataclasses.is_dataclass(hint):
        return _build(hint, value, where)  # type: ignore[arg-type]
    if origin is tuple and isinstance(value, list):
        return tuple(_convert(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is not None and _is_mapping_type(origin) and isinstance(value, dict):
        return MappingProxyType(
            {key: _convert(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
        )
    if origin in (Union, UnionType):
        if type(value) in arguments or (value is None and type(None) in arguments):
            return value
    elif hint is Any or type(value) is hint:
        return value
    raise ArtifactError(f"{where} has the wrong type ({type(value).__name__}): compile the model again")


def _is_mapping_type(origin: Any) -> bool:
    """Whether a generic's origin is a mapping type."""
    return isinstance(origin, type) and issubclass(origin, Mapping)
