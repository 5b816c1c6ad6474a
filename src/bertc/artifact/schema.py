"""What an artifact holds besides tensors: frozen dataclasses, and their JSON form.

``Manifest.from_json`` checks types and required keys of everything it reads; what the numbers of a
program mean is checked by the native core, once more, when the program is built.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from bertc.artifact.json_form import from_json_value, to_json_value
from bertc.errors import ArtifactError

FORMAT_VERSION = 2
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
    """One native op."""

    op: str
    name: str
    inputs: Mapping[str, str]
    """Operand -> the name of a buffer, a tensor or an input of the program; absent ones are not in it."""
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
    """The JSON form of ``certificate.Certificate``, not yet checked: running a model does not need it."""
    provenance: Mapping[str, Any]

    def to_json(self) -> str:
        """Compact JSON, keys in the order of the fields."""
        return json.dumps(to_json_value(self), ensure_ascii=False, separators=(",", ":"))

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
        manifest = from_json_value(cls, data, "manifest")
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
