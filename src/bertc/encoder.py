"""``Encoder``, the base of what ``bertc.load`` returns: a model with its session and tokenizer.

What a model answers is in ``tasks/``: one file per task, with the class that ``load`` returns for it.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bertc.artifact.reader import Artifact, open_artifact
from bertc.artifact.schema import ModelInfo
from bertc.errors import ArtifactError, InputError, warn_caller
from bertc.ports import HOST, SEQUENCES, takes_selection
from bertc.runtime.batching import FloatArray, unpad, windows
from bertc.runtime.items import as_items
from bertc.runtime.no_tokenizer import make_tokenizer
from bertc.runtime.session import Session
from bertc.runtime.tokenization import TokenCounts, Tokenizer
from bertc.task_table import TASKS


@dataclass(frozen=True)
class ModelOutput:
    """The result of calling an ``Encoder`` on padded arrays; None for what the model does not have."""

    last_hidden_state: FloatArray | None = None
    """The hidden states, float32 [batch, seq, hidden]; zero where the mask is zero."""
    pooler_output: FloatArray | None = None
    """The pooler's output, float32 [batch, hidden]; zero for a row without a token."""
    logits: FloatArray | None = None
    """The logits, float32 [batch, labels], or [batch, seq, labels] of each token; the labels of a masked LM
    are its vocabulary."""
    start_logits: FloatArray | None = None
    """How well the answer to a question starts at a token, float32 [batch, seq]."""
    end_logits: FloatArray | None = None
    """How well it ends there, float32 [batch, seq]."""
    prediction_logits: FloatArray | None = None
    """The masked words, float32 [batch, seq, vocabulary], of a model for pretraining."""
    seq_relationship_logits: FloatArray | None = None
    """Whether the second text follows the first, float32 [batch, 2], of such a model."""
    sop_logits: FloatArray | None = None
    """Whether two texts are in their order, float32 [batch, 2], as ALBERT calls the same."""
    hidden_states: tuple[FloatArray, ...] | None = None
    """The results of the embeddings and of each layer, float32 [batch, seq, hidden], if asked for."""


class WrongTaskError(InputError, AttributeError):
    """Raised where a model is asked for something that models for another task answer."""


class Encoder:
    """A loaded model. Safe to share between threads; survives ``fork``; pickles by its path."""

    def __init__(
        self,
        session: Session,
        tokenizer: Tokenizer,
        info: ModelInfo,
        *,
        artifact: Artifact | None = None,
        num_threads: int | None = None,
    ) -> None:
        """Make a model of parts that fit together; ``bertc.load`` makes one of a file.

        ``artifact`` is the file that the session runs, None for a model that is in memory alone, and
        ``num_threads`` what was asked for when it was loaded: a copy in another process asks for the same.
        """
        self.session = session
        self.tokenizer = tokenizer
        self.info = info
        """The facts about the model: outputs, labels, limits."""
        self.show_progress_bar = False
        """Whether calls that do not say so themselves show their progress."""
        self._artifact = artifact
        self._wanted_threads = num_threads

    @property
    def artifact(self) -> Artifact:
        """The opened file: manifest, tensors, hashes. Raises ``InputError`` for a model without a file."""
        if self._artifact is None:
            raise InputError(f"{self.info.name} is in memory alone: it has no artifact")
        return self._artifact

    def count_tokens(self, inputs: Any, *, truncate: bool = True) -> TokenCounts:
        """Count the tokens that the model sees of ``inputs``, and the inputs that are truncated.

        With ``truncate=False``, which is for lists of words, counted as ``predict_tags`` sees them: cut
        into pieces, each with its special tokens.
        """
        return count_tokens(self.tokenizer, as_items(inputs)[0], truncate=truncate)

    def __call__(
        self,
        input_ids: ArrayLike | None = None,
        attention_mask: ArrayLike | None = None,
        token_type_ids: ArrayLike | None = None,
        position_ids: ArrayLike | None = None,
        *,
        embeddings: ArrayLike | None = None,
        task_type_ids: ArrayLike | None = None,
        output_hidden_states: bool = False,
    ) -> ModelOutput:
        """Run padded [batch, seq] integer arrays, as ``transformers`` models are called.

        Any mask works, but for one with gaps between tokens where a model attends by their distance (MPNet).
        Each token's position is its column, or for RoBERTa and its kin its place among the tokens that are
        not padding, unless ``position_ids`` says otherwise; a pooler reads the first token that the mask
        keeps, and a row without a token gives zeros. ``task_type_ids`` are for ERNIE with a table of them. A
        model that was compiled from its embeddings on takes ``embeddings``, floats [batch, seq, hidden], and
        no ids. ``output_hidden_states`` adds what the embeddings and each layer give.
        Returns a :class:`ModelOutput`. Raises ``InputError``.
        """
        first = self.info.facts.get("first_position", 0)
        padding_idx = first - 1 if isinstance(first, int) and first else None
        layout = unpad(
            input_ids,
            attention_mask,
            token_type_ids,
            position_ids,
            task_type_ids,
            embeddings=embeddings,
            padding_idx=padding_idx,
        )
        if self.session.reads_distances and layout.has_gaps:
            raise InputError(
                f"attention_mask leaves out tokens between others, but {self.info.name} works by the "
                "distance between tokens: take them out of input_ids"
            )
        session = self._session_with_hidden_states if output_hidden_states else self.session
        places = {field.name for field in dataclasses.fields(ModelOutput)}
        layers = _layer_names(self.info) if output_hidden_states else {}
        ports = [port for port in session.outputs if port.name in places or port.name in layers]
        if len(layout.packed.cu_seqlens) > 1:
            batch = layout.packed
            if takes_selection(session.inputs):
                batch = batch.selecting(np.arange(batch.cu_seqlens[-1], dtype=np.int32))
            results = session.run_batch(batch, outputs=[port.name for port in ports])
        else:
            results = {port.name: np.empty((0, port.columns), np.float32) for port in ports}
        spread = {SEQUENCES: layout.spread_sequences}
        arrays = {
            port.name: spread.get(port.rows, layout.spread_tokens)(results[port.name]) for port in ports
        }
        if columns := TASKS[self.info.task].columns:
            whole = arrays.pop(TASKS[self.info.task].output)
            arrays |= {name: whole[..., index] for index, name in enumerate(columns)}
        hidden_states = tuple(arrays.pop(name) for name in layers) or None
        return ModelOutput(**arrays, hidden_states=hidden_states)

    @cached_property
    def _session_with_hidden_states(self) -> Session:
        if not self.info.hidden_states:
            raise InputError(f"the file of {self.info.name} does not say its layers: compile the model again")
        return self.session.with_outputs(_layer_names(self.info))

    def __getattr__(self, name: str) -> Any:
        if any(name in task.methods for task in TASKS.values()):
            *others, last = TASKS[self.info.task].methods
            answers = f"{', '.join(others)} and {last}" if others else last
            raise WrongTaskError(
                f"{self.info.name} is a model for {self.info.task}: it answers {answers}, not {name}"
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(load, num_threads=self._wanted_threads), (str(self.artifact.path.absolute()),)

    def __repr__(self) -> str:
        return (
            f"<bertc.{type(self).__name__} {self.info.name!r} for {self.info.task}, "
            f"{self.session.num_threads} threads, {self.session.isa}>"
        )


def load(
    path: str | PathLike[str], *, num_threads: int | None = None, verify: bool = False, mmap: bool = True
) -> Encoder:
    """Load a ``.bertc`` file, as the class of its task: ``Embedder``, ``Classifier`` or ``Tagger``.

    ``num_threads`` defaults to what the affinity mask and the cgroup allow. ``verify`` checks the
    stored SHA-256 of the weights, which reads the whole file. ``mmap=False`` reads the file instead of
    mapping it, for those who overwrite files that are in use. Warns of a file with steps on the host. Raises
    ``ArtifactError`` for a file that is damaged or cannot be opened.
    """
    artifact = open_artifact(path, verify=verify, mmap=mmap)
    info = artifact.manifest.model
    encoder_class = encoder_class_of(info)
    session = Session(artifact.executable, num_threads=num_threads)
    tokenizer = tokenizer_of(artifact)
    if any(step.op == HOST for step in artifact.manifest.program.steps):
        from bertc.primitives.host_steps import find_host_steps, tell_host_steps

        warn_caller(f"{path}: {tell_host_steps(find_host_steps(artifact.manifest.program.steps))}")
    return encoder_class(session, tokenizer, info, artifact=artifact, num_threads=num_threads)


def count_tokens(tokenizer: Tokenizer, items: Sequence[Any], *, truncate: bool) -> TokenCounts:
    """Count the tokens of items, truncated or (without ``truncate``) cut into pieces."""
    tokens = truncated = 0
    for part in windows(items):
        batch = tokenizer(part) if truncate else tokenizer.chunks(part)[0]
        tokens += int(batch.packed.cu_seqlens[-1])
        truncated += batch.truncated
    return TokenCounts(tokens, truncated)


def tokenizer_of(artifact: Artifact) -> Tokenizer:
    """Return the tokenizer of a file, which knows how many tokens the model has rows for."""
    info = artifact.manifest.model
    rows = info.facts.get("vocab_size")
    return make_tokenizer(
        artifact.tokenizer_json, info.max_seq_length, rows if isinstance(rows, int) else None
    )


def encoder_class_of(info: ModelInfo) -> type[Encoder]:
    """Return the class of a model's task. Raises ``ArtifactError`` for a task that bertc does not know."""
    task = TASKS.get(info.task)
    if task is None:
        raise ArtifactError(
            f"the file is for the task {info.task!r}, this version of bertc knows "
            f"{', '.join(TASKS)}: install a newer bertc"
        )
    module, _, name = task.encoder.rpartition(".")
    encoder_class: type[Encoder] = getattr(importlib.import_module(f"bertc.tasks.{module}"), name)
    return encoder_class


def _layer_names(info: ModelInfo) -> dict[str, str]:
    return {f"hidden_states.{index}": buffer for index, buffer in enumerate(info.hidden_states)}
