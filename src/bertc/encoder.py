"""``Encoder``, the base of what ``bertc.load`` returns: a model with its session and tokenizer.

What a model answers is in ``tasks/``: one file per task, with the class that ``load`` returns for it.
"""

from __future__ import annotations

import dataclasses
import importlib
from dataclasses import dataclass
from os import PathLike
from typing import Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike

from bertc.artifact.reader import Artifact, open_artifact
from bertc.artifact.schema import ModelInfo
from bertc.errors import ArtifactError, InputError
from bertc.ports import SELECTED, SEQUENCES
from bertc.runtime.batching import FloatArray, unpad, windows
from bertc.runtime.session import Session
from bertc.runtime.tokenization import TokenCounts, Tokenizer, as_items, count_tokens
from bertc.task_table import TASKS


@dataclass(frozen=True)
class ModelOutput:
    """What calling an ``Encoder`` on padded arrays gives; None for what the model does not have."""

    last_hidden_state: FloatArray | None = None
    """[batch, seq, hidden], zero where the mask is zero."""
    pooler_output: FloatArray | None = None
    """[batch, hidden]; zero for a row without a token."""
    logits: FloatArray | None = None
    """[batch, labels], or [batch, seq, labels] of each token; [batch, seq, vocabulary] of a masked LM."""
    start_logits: FloatArray | None = None
    """[batch, seq]: where the answer to a question starts."""
    end_logits: FloatArray | None = None
    """[batch, seq]: where it ends."""
    prediction_logits: FloatArray | None = None
    """[batch, seq, vocabulary]: the masked words, of a model with both heads of BERT's pretraining."""
    seq_relationship_logits: FloatArray | None = None
    """[batch, 2]: whether the second text follows the first, of such a model."""


class WrongTaskError(InputError, AttributeError):
    """A model was asked for something that models for another task answer."""


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
        """A model of parts that fit together; ``bertc.load`` makes one of a file.

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
        self._truncation_news = [True]

    @property
    def artifact(self) -> Artifact:
        """The opened file: manifest, tensors, hashes. Raises ``InputError`` for a model without a file."""
        if self._artifact is None:
            raise InputError(f"{self.info.name} is in memory alone: it has no artifact")
        return self._artifact

    def count_tokens(self, inputs: Any, *, truncate: bool = True) -> TokenCounts:
        """How many tokens the model sees of ``inputs``, and how many of these are truncated.

        With ``truncate=False``, which is for lists of words, counted as ``predict_tags`` sees them: cut
        into pieces, each with its special tokens.
        """
        return count_tokens(self.tokenizer, windows(as_items(inputs)[0]), truncate=truncate)

    def truncation_is_news(self) -> bool:
        """True the first time that it is asked, whichever thread asks."""
        try:
            return self._truncation_news.pop()
        except IndexError:
            return False

    def __call__(
        self,
        input_ids: ArrayLike,
        attention_mask: ArrayLike | None = None,
        token_type_ids: ArrayLike | None = None,
        position_ids: ArrayLike | None = None,
    ) -> ModelOutput:
        """Run padded [batch, seq] integer arrays, as ``transformers`` models are called.

        Any mask works; each token's position is its column, or for RoBERTa and its kin its place among the
        tokens that are not padding, unless ``position_ids`` says otherwise; a pooler reads the first token
        that the mask keeps, and a row without a token gives zeros.
        Returns a :class:`ModelOutput`. Raises ``InputError``.
        """
        first = self.info.facts.get("first_position", 0)
        padding_idx = first - 1 if isinstance(first, int) and first else None
        layout = unpad(input_ids, attention_mask, token_type_ids, position_ids, padding_idx=padding_idx)
        places = {field.name for field in dataclasses.fields(ModelOutput)}
        ports = [port for port in self.info.outputs if port.name in places]
        if len(layout.packed.cu_seqlens) > 1:
            batch = layout.packed
            if any(port.rows == SELECTED for port in self.session.inputs):
                batch = batch.selecting(np.arange(batch.cu_seqlens[-1], dtype=np.int32))
            results = self.session.run_batch(batch, outputs=[port.name for port in ports])
        else:
            results = {port.name: np.empty((0, port.columns), np.float32) for port in ports}
        spread = {SEQUENCES: layout.spread_sequences}
        arrays = {
            port.name: spread.get(port.rows, layout.spread_tokens)(results[port.name]) for port in ports
        }
        if columns := TASKS[self.info.task].columns:
            whole = arrays.pop(TASKS[self.info.task].output)
            arrays |= {name: whole[..., index] for index, name in enumerate(columns)}
        return ModelOutput(**arrays)

    def __getattr__(self, name: str) -> Any:
        if any(name in task.methods for task in TASKS.values()):
            _refuse(self.info, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (str(self.artifact.path.absolute()), self._wanted_threads)

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
    mapping it, for those who overwrite files that are in use. Raises ``ArtifactError`` for a file that is
    damaged or cannot be opened.
    """
    artifact = open_artifact(path, verify=verify, mmap=mmap)
    info = artifact.manifest.model
    encoder_class = encoder_class_of(info)
    session = Session(artifact.executable, num_threads=num_threads)
    tokenizer = tokenizer_of(artifact)
    return encoder_class(session, tokenizer, info, artifact=artifact, num_threads=num_threads)


def tokenizer_of(artifact: Artifact) -> Tokenizer:
    """The tokenizer of a file, which knows how many tokens the model has rows for."""
    info = artifact.manifest.model
    rows = info.facts.get("vocab_size")
    return Tokenizer(artifact.tokenizer_json, info.max_seq_length, rows if isinstance(rows, int) else None)


def encoder_class_of(info: ModelInfo) -> type[Encoder]:
    """The class of a model's task. Raises ``ArtifactError`` for a task that this version does not know."""
    task = TASKS.get(info.task)
    if task is None:
        raise ArtifactError(
            f"the file is for the task {info.task!r}, this version of bertc knows "
            f"{', '.join(TASKS)}: install a newer bertc"
        )
    module, _, name = task.encoder.rpartition(".")
    encoder_class: type[Encoder] = getattr(importlib.import_module(f"bertc.tasks.{module}"), name)
    return encoder_class


def _refuse(info: ModelInfo, method: str) -> NoReturn:
    *others, last = TASKS[info.task].methods
    answers = f"{', '.join(others)} and {last}" if others else last
    raise WrongTaskError(f"{info.name} is a model for {info.task}: it answers {answers}, not {method}")


def _restore(path: str, num_threads: int | None) -> Encoder:
    return load(path, num_threads=num_threads)
