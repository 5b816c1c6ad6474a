"""A compiled file as an engine of the bench."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bertc.artifact.executable import Executable
from bertc.artifact.reader import Artifact, open_artifact
from bertc.bench.engine import Array, batches
from bertc.bench.work import main_output, matrix_bytes
from bertc.encoder import encoder_class_of, tokenizer_of
from bertc.runtime.batching import PackedBatch
from bertc.runtime.session import Session
from bertc.runtime.step_times import fit_to
from bertc.runtime.tokenization import Tokenizer
from bertc.task_table import TASKS
from bertc.version import __version__


class CompiledModel:
    """One ``.bertc`` file, run as ``bertc.load`` runs it."""

    version = __version__

    def __init__(self, path: Path, threads: int | None = None) -> None:
        """Load a file."""
        artifact = open_artifact(path)
        info = artifact.manifest.model
        self._session = _TimedSession(artifact.executable, num_threads=threads)
        self.encoder = encoder_class_of(info)(self._session, tokenizer_of(artifact), info, artifact=artifact)
        self.isa: str | None = self._session.isa

    @property
    def kernel_seconds(self) -> float:
        """The seconds that :meth:`encode` has spent in the session so far."""
        return self._session.seconds

    @property
    def matrix_bytes(self) -> int:
        """The size of the weights that the matrix products of a pass read, in bytes."""
        return matrix_bytes(self.encoder.artifact.executable, *main_output(self.encoder.info))

    def bind(self, input_ids: Array, attention_mask: Array) -> Callable[[], Array]:
        """Pack arrays as :meth:`bertc.bench.engine.Engine.bind` says, for the model's main output."""
        mask = attention_mask.astype(bool)
        ids = np.ascontiguousarray(input_ids[mask], np.int32)
        cu_seqlens = np.zeros(len(mask) + 1, np.int32)
        np.cumsum(mask.sum(axis=1), out=cu_seqlens[1:])
        packed = fit_to(self._session, PackedBatch({"input_ids": ids}, cu_seqlens))
        outputs = main_output(self.encoder.info)
        return lambda: self._session.run_batch(packed, outputs=outputs)[outputs[0]]

    def encode(self, texts: Sequence[str], *, batch_size: int | None, sort: bool) -> Any:
        """Answer as :meth:`bertc.bench.engine.Engine.encode` says, calling the task's method per batch."""
        # By characters, which is nearly by tokens: exact order gains nothing without padding.
        order = sorted(range(len(texts)), key=lambda i: len(texts[i])) if sort else range(len(texts))
        answer_all = getattr(self.encoder, TASKS[self.encoder.info.task].methods[0])
        answers: list[Any] = [None] * len(texts)
        for batch in batches(texts, batch_size, order):
            for index, answer in zip(batch, answer_all([texts[i] for i in batch]), strict=True):
                answers[index] = answer
        vectors = answers and isinstance(answers[0], np.ndarray) and answers[0].ndim == 1
        return np.stack(answers) if vectors else answers


def token_lengths(artifact: Artifact, texts: Sequence[str]) -> list[int]:
    """Return the number of tokens of each text, with the model's default prompt, after truncation."""
    info = artifact.manifest.model
    facts = info.embedding
    prompt = facts.prompts[facts.default_prompt_name] if facts.default_prompt_name else ""
    tokenizer = Tokenizer(artifact.tokenizer_json, facts.max_lengths.get("", info.max_seq_length))
    return [len(encoding.ids) for encoding in tokenizer([prompt + text for text in texts]).encodings]


class _TimedSession(Session):
    """A session with a stopwatch."""

    def __init__(self, executable: Executable, *, num_threads: int | None) -> None:
        super().__init__(executable, num_threads=num_threads)
        self.seconds = 0.0

    def run_batch(self, batch: PackedBatch, *, outputs: Sequence[str] | None = None) -> dict[str, Array]:
        start = time.perf_counter()
        results = super().run_batch(batch, outputs=outputs)
        self.seconds += time.perf_counter() - start
        return results
