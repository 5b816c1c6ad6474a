"""What an artifact holds besides tensors: frozen dataclasses, and their JSON form.

``Manifest.from_json`` checks types and required keys of everything it reads; what the numbers of a
program mean is checked by the native core, once more, when the program is built.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from bertc.artifact.json_form import from_json_value, to_json_value
from bertc.errors import ArtifactError, InputError
from bertc.ports import Port
from bertc.task_table import TASKS

FORMAT_VERSION = 2
"""Raised when a reader of the old version could not run the new file."""

FEATURES = frozenset({"embed.first_position", "embed.task_type"})
"""What the format gained since its version was set: ops, and operands and attributes of ops as ``OP.NAME``.
A file lists those that it uses, so that a reader can name the one that it lacks."""

Attribute = int | float | str | bool


@dataclass(frozen=True)
class ModelInfo:
    """What tasks and people need to know of the model."""

    name: str
    architecture: str
    """The Hugging Face class: ``BertModel``, ``BertForSequenceClassification``, ..."""
    task: str
    """A row of ``bertc.task_table.TASKS``."""
    outputs: tuple[Port, ...]
    """What the program gives, by its public names."""
    max_seq_length: int
    """Longest sequence in tokens, special tokens included; longer texts are truncated."""
    labels: tuple[str, ...] = ()
    """Names of the columns of ``logits``, for a model that decides between labels."""
    problem_type: str | None = None
    """As in ``config.json``: ``single_label_classification``, ``multi_label_classification``, ..."""
    facts: Mapping[str, Attribute] = field(default_factory=lambda: MappingProxyType({}))
    """Anything else that people and benchmarks may want to know, by Hugging Face's names: ``hidden_size``,
    ``pooling``, ...; nothing depends on their presence."""

    def size(self, name: str) -> int:
        """A fact that is a whole number. Raises ``InputError`` if the file does not say it."""
        value = self.facts.get(name)
        if not isinstance(value, int):
            raise InputError(f"the file of {self.name} does not say its {name}: compile the model again")
        return value

    def output(self, name: str) -> Port | None:
        """The output of that name, or None if the model has none."""
        return next((port for port in self.outputs if port.name == name), None)


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
    features: tuple[str, ...] = ()
    """Those of ``FEATURES`` that the steps use."""


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
        _check_features(data)
        manifest = from_json_value(cls, data, "manifest")
        _check_facts(manifest)
        return manifest


def _check_features(data: Any) -> None:
    """Before anything else is parsed, since what a feature brings may not parse."""
    program = data.get("program") if isinstance(data, dict) else None
    features = program.get("features") if isinstance(program, dict) else None
    lacking = {str(name) for name in features} - FEATURES if isinstance(features, list) else None
    if lacking:
        names = ", ".join(sorted(lacking))
        raise ArtifactError(f"the file needs what this bertc does not know ({names}): update bertc")


def is_unicode(text: str) -> bool:
    """Whether the text can be written as UTF-8: it holds no lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_facts(manifest: Manifest) -> None:
    """What is said of the model must fit the program: tasks size arrays and look up labels by it."""
    info, program = manifest.model, manifest.program
    if info.max_seq_length < 1:
        raise ArtifactError(
            f"manifest.model.max_seq_length is {info.max_seq_length}: compile the model again"
        )
    buffers = {buffer.name: buffer for buffer in program.buffers}
    for port in info.outputs:
        buffer = buffers.get(program.outputs.get(port.name, ""))
        found = None if buffer is None else Port(port.name, buffer.dtype, buffer.rows, buffer.columns)
        if found != port:
            raise ArtifactError(
                f"the program's output {port.name!r} does not fit manifest.model (found {found}, expected "
                f"{port}): compile the model again"
            )
    task = TASKS.get(info.task)
    if task is None:  # of a newer version: loading says so
        return
    read = info.output(task.output)
    labels = len(info.labels) if task.compares == "decisions" else None
    if read is None or (read.dtype, read.rows) != ("f32", task.rows) or labels not in (None, read.columns):
        raise ArtifactError(
            f"the program's output {task.output!r} does not fit the task {task.name} (found {read}, expected "
            f"float32, a row for all {task.rows}, as many columns as labels): compile the model again"
        )
