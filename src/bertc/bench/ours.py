"""A compiled file as an engine of the bench."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bertc.artifact.reader import Artifact
from bertc.bench.engine import Array, batches
from bertc.bench.work import matrix_bytes
from bertc.encoder import Encoder, load
from bertc.runtime.batching import FloatArray, IntArray
from bertc.runtime.session import Session
from bertc.runtime.tokenization import Tokenizer
from bertc.tasks import registry
from bertc.tasks.base import Model
from bertc.tasks.classification import Classification
from bertc.tasks.embedding import Embedding
from bertc.tasks.token_classification import TokenClassification
from bertc.version import __version__


class CompiledModel:
    """One ``.bertc`` file, run as ``bertc.load`` runs it."""

    version = __version__

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self.isa: str | None = encoder.session.isa
        self._session = _TimedSession(encoder.session)
        self._answer = _answer(Model(self._session, encoder.tokenizer, encoder.info))

    @classmethod
    def open(cls, path: Path, threads: int | None) -> CompiledModel:
        """Load a file."""
        return cls(load(path, num_threads=threads))

    @property
    def kernel_seconds(self) -> float:
        """The time that :meth:`encode` has spent in the session so far."""
        return self._session.seconds

    @property
    def file_bytes(self) -> int:
        """The size of the file."""
        return self.encoder.artifact.size

    @property
    def weights_bytes(self) -> int:
        """The size of all tensors in the file."""
        return sum(entry.nbytes for entry in self.encoder.artifact.tensors.values())

    @property
    def matrix_bytes(self) -> int:
        """The size of the weights that the matrix products of a pass read."""
        return matrix_bytes(self.encoder.artifact, *main_output(self.encoder.session))

    def bind(self, input_ids: Array, attention_mask: Array) -> Callable[[], Array]:
        """See :meth:`bertc.bench.engine.Engine.bind`: packed, for the one output that the model is for."""
        mask = attention_mask.astype(bool)
        ids = np.ascontiguousarray(input_ids[mask], np.int32)
        cu_seqlens = np.zeros(len(mask) + 1, np.int32)
        np.cumsum(mask.sum(axis=1), out=cu_seqlens[1:])
        session = self.encoder.session
        outputs = main_output(session)
        return lambda: session.run(ids, cu_seqlens, outputs=outputs)[outputs[0]]

    def encode(self, texts: Sequence[str], *, batch_size: int | None, sort: bool) -> Any:
        """See :meth:`bertc.bench.engine.Engine.encode`: a call of the task's own method for each batch."""
        # By characters, which is nearly by tokens: exact order gains nothing without padding.
        order = sorted(range(len(texts)), key=lambda i: len(texts[i])) if sort else range(len(texts))
        answers: list[Any] = [None] * len(texts)
        for batch in batches(texts, batch_size, order):
            for index, answer in zip(batch, self._answer([texts[i] for i in batch]), strict=True):
                answers[index] = answer
        return np.stack(answers) if answers and isinstance(answers[0], np.ndarray) else answers


def token_lengths(artifact: Artifact, texts: Sequence[str]) -> list[int]:
    """The number of tokens of each text, after truncation."""
    tokenizer = Tokenizer(artifact.tokenizer_json, artifact.manifest.model.max_seq_length)
    return [len(encoding.ids) for encoding in tokenizer(texts).encodings]


def main_output(session: Session) -> tuple[str, ...]:
    """The output that the model is for: the first of these that it has."""
    names = ("sentence_embedding", "logits", "last_hidden_state")
    return next((name,) for name in names if name in session.output_names)


class _TimedSession:
    """A session with a stopwatch."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.seconds = 0.0

    def run(
        self,
        input_ids: IntArray,
        cu_seqlens: IntArray,
        token_type_ids: IntArray | None = None,
        position_ids: IntArray | None = None,
        *,
        outputs: Sequence[str] | None = None,
    ) -> dict[str, FloatArray]:
        start = time.perf_counter()
        results = self._session.run(input_ids, cu_seqlens, token_type_ids, position_ids, outputs=outputs)
        self.seconds += time.perf_counter() - start
        return results


def _answer(model: Model) -> Callable[[Sequence[str]], Any]:
    """The method of the task that users call."""
    task = registry.create(model)
    if isinstance(task, Embedding):
        return task.encode
    if isinstance(task, Classification):
        return task.classify
    assert isinstance(task, TokenClassification)
    return task.tag
