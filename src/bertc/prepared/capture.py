"""The token ids that a model would be given for labeled data: its own methods are called, and nothing runs.

What is written down is by construction what ``bertc eval`` feeds the model with.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from os import PathLike
from typing import Any, NamedTuple

import numpy as np

from bertc.encoder import Encoder
from bertc.errors import InputError
from bertc.evaluation.classification import Classification
from bertc.evaluation.evaluator import Evaluator
from bertc.evaluation.ner import NamedEntities
from bertc.evaluation.pairs import PairDecisions
from bertc.evaluation.question_answering import Answers
from bertc.evaluation.rerank import Rankings, inputs_of
from bertc.evaluation.sts import Similarity
from bertc.files.tables import check_ids
from bertc.files.texts import read_texts
from bertc.ports import SEQUENCES, takes_selection
from bertc.runtime.batching import PackedBatch
from bertc.task_table import TASKS

Array = np.ndarray[Any, Any]
Ask = Callable[[Any, Any], Any]
"""Has an engine answer a sample."""

TEXT = "text"
_IDS, _TYPES = "input_ids", "token_type_ids"
_BY_TASK = {"sts": "sts", "classification": "classify", "ner": "ner", "question_answering": "qa"}
"""The evaluator of a task -> what its data is by default."""


class TokenSequence(NamedTuple):
    """One sequence of tokens that a model is given for a sample, int32 [length]."""

    id: str
    """The id of the sample."""
    part: int
    parts: int
    """The number of sequences of the sample: two of a pair that is embedded, several of what is long."""
    ids: Array
    type_ids: Array


def default_kind(engine: Encoder) -> str:
    """Return the kind of data that a model is scored on by default, ``text`` where there is none."""
    kind = _BY_TASK.get(TASKS[engine.info.task].evaluator, TEXT)
    return "sts" if kind == "classify" and len(engine.info.labels) == 1 else kind


def sequences(
    engine: Encoder,
    path: str | PathLike[str],
    kind: str,
    *,
    limit: int | None = None,
    options: Mapping[str, Any] | None = None,
    column: str = "text",
    pair_column: str | None = None,
) -> Iterator[TokenSequence]:
    """Yield all sequences of a file of data, in the order of its samples.

    ``limit`` is the longest sequence in tokens, by default the model's; ``options`` are those of the
    evaluator, ``column`` and ``pair_column`` are for ``text``. Raises ``InputError``.
    """
    ask, samples = _samples(engine, path, kind, options or {}, column, pair_column)
    watched, seen = _watched(engine, limit or engine.info.max_seq_length)
    for sample in samples:
        seen.clear()
        ask(watched, sample)
        if not seen:
            raise InputError(f"{path}: the sample {sample.id!r} has no token: take it out")
        for part, (ids, type_ids) in enumerate(seen):
            yield TokenSequence(str(sample.id), part, len(seen), ids, type_ids)


def _samples(
    engine: Encoder,
    path: str | PathLike[str],
    kind: str,
    options: Mapping[str, Any],
    column: str,
    pair_column: str | None,
) -> tuple[Ask, Sequence[Any]]:
    if kind == TEXT:
        records = list(read_texts(path, column, pair_column=pair_column))
        check_ids((str(each.id), f"{path}, record {index}") for index, each in enumerate(records))
        if not records:
            raise InputError(f"{path}: no texts")
        return _ask_about_text(engine), records
    evaluator, ask = KINDS[kind]
    return ask, evaluator(**options).bound(engine).read(path)


def _ask_about_two(engine: Any, sample: Any) -> Any:
    if hasattr(engine, "predict"):
        return engine.predict([(sample.first, sample.second)])
    return engine.encode([sample.first, sample.second])


def _ask_to_rank(engine: Any, sample: Any) -> Any:
    if not hasattr(engine, "predict"):
        raise InputError(
            "an embedder is given each document once for all queries, no sequences for each: prepare "
            "the files of queries and documents as text"
        )
    return engine.predict(inputs_of(engine, [sample]))


def _ask_about_text(engine: Encoder) -> Ask:
    task = TASKS[engine.info.task]
    if task.takes == "choices":
        raise InputError(f"{engine.info.name} chooses among texts, of which no inputs are prepared")
    if task.takes == "pairs":
        return lambda engine, record: getattr(engine, task.methods[0])([record.text], [record.pair or ""])
    return lambda engine, record: getattr(engine, task.methods[0])(
        [record.text if record.pair is None else (record.text, record.pair)]
    )


KINDS: dict[str, tuple[Callable[..., Evaluator[Any]], Ask]] = {
    "sts": (Similarity, _ask_about_two),
    "classify": (Classification, lambda engine, sample: engine.classify([sample.text])),
    "ner": (NamedEntities, lambda engine, sample: engine.predict_tags([sample.words])),
    "qa": (Answers, lambda engine, sample: engine.answer([sample.question], [sample.context])),
    "pairs": (PairDecisions, _ask_about_two),
    "rerank": (Rankings, _ask_to_rank),
}
"""A kind of ``bertc eval`` -> its evaluator, which reads the data, and what it asks of each sample."""


def _watched(engine: Encoder, limit: int) -> tuple[Encoder, list[tuple[Array, Array]]]:
    """Return an engine that computes nothing, and the list where it leaves ids and token types."""
    if takes_selection(engine.session.inputs):
        raise InputError(
            f"{engine.info.name} is for {engine.info.task}, whose inputs depend on what is masked: none are "
            "prepared"
        )
    if limit > engine.info.max_seq_length:
        raise InputError(f"{engine.info.name} takes at most {engine.info.max_seq_length} tokens, not {limit}")
    session = _WatchingSession(engine)
    info = dataclasses.replace(engine.info, max_seq_length=limit)
    tokenizer = engine.tokenizer
    if limit != engine.info.max_seq_length:
        tokenizer = tokenizer.with_limit(limit)
    return type(engine)(session, tokenizer, info), session.seen  # type: ignore[arg-type]


class _WatchingSession:
    """Stands in for a session: keeps what it is given, and answers zeros."""

    def __init__(self, engine: Encoder) -> None:
        self.seen: list[tuple[Array, Array]] = []
        self.num_threads = engine.session.num_threads
        self._info = engine.info

    def run_batch(self, batch: PackedBatch, *, outputs: Sequence[str]) -> dict[str, Array]:
        if extra := batch.inputs.keys() - {_IDS, _TYPES}:
            raise InputError(
                f"{self._info.name} is given {min(extra)!r} beside token ids, as its prompts leave tokens "
                "out of the pooling: no inputs are prepared"
            )
        cuts = batch.cu_seqlens[1:-1]
        rows = (np.split(batch.inputs[name], cuts) for name in (_IDS, _TYPES))
        self.seen.extend(zip(*rows, strict=True))
        ports = (self._info.output(name) for name in outputs)
        return {
            port.name: np.zeros(
                (len(cuts) + 1 if port.rows == SEQUENCES else batch.cu_seqlens[-1], port.columns), np.float32
            )
            for port in ports
            if port is not None
        }
