"""Times of whole runs: a grid of fixed shapes with random ids, or the texts of a file."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bertc.artifact.schema import ModelInfo
from bertc.encoder import Encoder
from bertc.errors import InputError
from bertc.runtime.session import Session

LEAST_REPEATS = 3
"""Below this a median means nothing, however long a run takes."""


@dataclass(frozen=True)
class Effort:
    """How long to measure: ``repeats`` runs, fewer if they take more than ``seconds``."""

    warmup: int = 3
    repeats: int = 50
    seconds: float = 2.0


@dataclass(frozen=True)
class Timing:
    """One shape, or one file of texts, measured."""

    sequences: int
    tokens: int
    repeats: int
    mean_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    sequences_per_second: float
    """Of the median run, as the next two."""
    tokens_per_second: float
    gops: float
    """10^9 operations per second; a multiplication and an addition count as two."""


def time_shape(session: Session, batch: int, length: int, effort: Effort) -> Timing:
    """Run ``batch`` sequences of ``length`` random token ids: the native core alone."""
    info = session.artifact.manifest.model
    if length > info.max_position_embeddings:
        raise InputError(f"length {length}: the model has {info.max_position_embeddings} positions")
    rng = np.random.default_rng(0)
    ids = rng.integers(0, info.vocab_size, batch * length, dtype=np.int32)
    cu_seqlens = np.arange(0, batch * length + 1, length, dtype=np.int32)
    outputs = _main_output(session)
    milliseconds = _measure(lambda: session.run(ids, cu_seqlens, outputs=outputs), effort)
    return _timing(milliseconds, info, [length] * batch)


def time_texts(encoder: Encoder, texts: Sequence[str], effort: Effort) -> Timing:
    """Tokenize and run ``texts`` in the order they come, in one call: what a user gets."""
    calls: dict[str, Callable[[Sequence[str]], object]] = {
        "embedding": encoder.encode,
        "classification": encoder.classify,
        "token_classification": encoder.tag,
    }
    call = calls[encoder.info.task]
    lengths = [encoder.count_tokens([text]).tokens for text in texts]
    return _timing(_measure(lambda: call(texts), effort), encoder.info, lengths)


def _main_output(session: Session) -> tuple[str, ...]:
    """What the model is for: the last of its outputs that a task asks for."""
    names = ("sentence_embedding", "logits", "last_hidden_state")
    return next((name,) for name in names if name in session.output_names)


def _measure(run: Callable[[], object], effort: Effort) -> list[float]:
    """Milliseconds of each run."""
    for _ in range(effort.warmup):
        run()
    milliseconds: list[float] = []
    stop = time.perf_counter() + effort.seconds
    while len(milliseconds) < effort.repeats:
        start = time.perf_counter()
        if start > stop and len(milliseconds) >= LEAST_REPEATS:
            break
        run()
        milliseconds.append(1000 * (time.perf_counter() - start))
    return milliseconds


def _timing(milliseconds: Sequence[float], info: ModelInfo, lengths: Sequence[int]) -> Timing:
    p50, p90, p99 = (float(value) for value in np.percentile(milliseconds, [50, 90, 99]))
    return Timing(
        sequences=len(lengths),
        tokens=sum(lengths),
        repeats=len(milliseconds),
        mean_ms=float(np.mean(milliseconds)),
        p50_ms=p50,
        p90_ms=p90,
        p99_ms=p99,
        sequences_per_second=1000 * len(lengths) / p50,
        tokens_per_second=1000 * sum(lengths) / p50,
        gops=operations(info, lengths) / p50 / 1e6,
    )


def operations(info: ModelInfo, lengths: Sequence[int]) -> int:
    """Of the encoder's matrix products: 2 per multiply-add, without embeddings, norms and heads.

    Per token and layer 4 H*H for queries, keys, values and their output and 2 H*I for the feed
    forward part; per sequence of n tokens 2 n*n*H for scores and mixed values.
    """
    hidden, inner = info.hidden_size, info.intermediate_size
    dense = (4 * hidden * hidden + 2 * hidden * inner) * sum(lengths)
    attention = 2 * hidden * sum(length * length for length in lengths)
    return 2 * info.num_hidden_layers * (dense + attention)
