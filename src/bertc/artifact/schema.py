"""The manifest of an artifact, all but tensors and tokenizer: frozen dataclasses, and their JSON form.

``Manifest.from_json`` checks types and required keys of everything it reads; what the numbers of a
program mean is checked by the native core, once more, when the program is built.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from bertc.artifact.embedding_facts import EmbeddingFacts
from bertc.artifact.json_form import from_json_value, to_json_value
from bertc.errors import ArtifactError, InputError
from bertc.ports import TOKENS, Port
from bertc.task_table import TASKS

FORMAT_VERSION = 2
"""The version of the file format: raised when a reader of the old version could not run the new file."""

FEATURES = frozenset(
    {
        "attention.attended",
        "attention.buckets",
        "attention.distance_bias",
        "attention.num_key_value_heads",
        "attention.rotary",
        "attention.slopes",
        "attention.window",
        "concat",
        "default_prompt_name",
        "embed.first_position",
        "embed.task_type",
        "host",
        "layer_norm.rms",
        "layer_norm_bf16.rms",
        "layer_norm_quantize.cu_seqlens",
        "layer_norm_quantize.hadamard",
        "layer_norm_quantize.rms",
        "linear.cu_seqlens",
        "linear.gated",
        "linear_bf16.cu_seqlens",
        "linear_bf16.gated",
        "linear_int8.cu_seqlens",
        "linear_int8.gated",
        "linear_int8.weight_bound",
        "pool.pooled",
        "quantize_rows.cu_seqlens",
        "quantize_rows.hadamard",
        "select_rows",
        "truncate_dim",
    }
)
"""What the format gained since its version was set: ops, operands and attributes of ops as ``OP.NAME``, and
those fields of ``EmbeddingFacts`` that change what a call without options gives.
A file lists those that it uses, so that a reader can name the one that it lacks."""

Attribute = int | float | str | bool


@dataclass(frozen=True)
class ModelInfo:
    """The facts about a model that tasks and people need to know."""

    name: str
    architecture: str
    """The name of the Hugging Face class: ``BertModel``, ``BertForSequenceClassification``, ..."""
    task: str
    """The name of the model's task, a row of ``bertc.task_table.TASKS``."""
    outputs: tuple[Port, ...]
    """The outputs of the program, by their public names."""
    max_seq_length: int
    """The longest sequence in tokens, special tokens included; longer texts are truncated."""
    labels: tuple[str, ...] = ()
    """The names of the columns of ``logits``, for a model that decides between labels."""
    problem_type: str | None = None
    """The kind of labels as in ``config.json``: ``multi_label_classification``, ``regression``, ..."""
    hidden_states: tuple[str, ...] = ()
    """The buffers with what the embeddings and each layer give, in order; a caller may ask for them."""
    facts: Mapping[str, Attribute] = field(default_factory=lambda: MappingProxyType({}))
    """Other facts that people and benchmarks may want to know, by Hugging Face's names: ``hidden_size``,
    ``pooling``, ...; nothing depends on their presence."""
    embedding: EmbeddingFacts = field(default_factory=EmbeddingFacts)
    """How texts are to be embedded, for a model that embeds."""

    def size(self, name: str) -> int:
        """Return a fact that is a whole number. Raises ``InputError`` if the file does not say it."""
        value = self.facts.get(name)
        if not isinstance(value, int):
            raise InputError(f"the file of {self.name} does not say its {name}: compile the model again")
        return value

    @property
    def longest_sequence(self) -> int:
        """The number of tokens that the model has positions for, which may be more than texts are cut to."""
        return self.size("max_position_embeddings") - self.size("first_position")

    def output(self, name: str) -> Port | None:
        """Return the output of that name, or None if the model has none."""
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
    """What the buffer has a row for: ``tokens``, ``sequences`` or ``selected``."""
    columns: int
    slot: int


@dataclass(frozen=True)
class Step:
    """One native op of a program, with its operands and attributes."""

    op: str
    name: str
    inputs: Mapping[str, str]
    """The names of buffers, tensors or inputs of the program by operand; absent operands are left out."""
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class Program:
    """A linear list of native ops over planned buffers."""

    buffers: tuple[Buffer, ...]
    slots: tuple[int, ...]
    """The bytes per row of each arena slot."""
    steps: tuple[Step, ...]
    outputs: Mapping[str, str]
    """The name of each public output's buffer, by the name of the output."""
    inputs: tuple[Port, ...]
    """What a caller passes besides ``cu_seqlens``: ids, or rows of float32 for the buffer of that name."""
    features: tuple[str, ...] = ()
    """Those of ``FEATURES`` that the file uses."""


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
        """Return the manifest as compact JSON, keys in the order of the fields."""
        return json.dumps(to_json_value(self), ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Return the manifest of a JSON text; raises ``ArtifactError`` that names the first wrong key."""
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
    """Return whether the text can be written as UTF-8: it holds no lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_facts(manifest: Manifest) -> None:
    """Check that the facts about the model fit the program: tasks size arrays and look up labels by them."""
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
    for name in info.hidden_states:
        if name not in buffers or (buffers[name].dtype, buffers[name].rows) != ("f32", TOKENS):
            raise ArtifactError(
                f"manifest.model.hidden_states names {name!r}, no float32 buffer with a row for each token: "
                "compile the model again"
            )
    task = TASKS.get(info.task)
    if task is None:  # of a newer version: loading says so
        return
    read = info.output(task.output)
    info.embedding.check(0 if read is None else read.columns, info.max_seq_length)
    labels = len(info.labels) if task.labeled else None
    if read is None or (read.dtype, read.rows) != ("f32", task.rows) or labels not in (None, read.columns):
        raise ArtifactError(
            f"the program's output {task.output!r} does not fit the task {task.name} (found {read}, expected "
            f"float32, a row for all {task.rows}, as many columns as labels): compile the model again"
        )
