"""One shard: its rows are read, answered and written at the same time, a part of them each."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from bertc.bulk.columnar import pyarrow
from bertc.bulk.formats import FORMATS
from bertc.bulk.output import Finished, file_facts, shard_file, write_rejected
from bertc.bulk.parts import Part, Rejected
from bertc.bulk.results import Answering, Question, answering, as_item, with_nulls
from bertc.bulk.shards import Shard
from bertc.bulk.storage import UnmendableError
from bertc.encoder import Encoder
from bertc.errors import InputError, TruncationWarning
from bertc.runtime.batch_queue import split

T = TypeVar("T")
Advance = Callable[[int, int], None]
"""A function to call with numbers of rows and tokens that have just been done."""

NULL, SKIP, ERROR = "null", "skip", "error"
ON_NULL = (NULL, SKIP, ERROR)
"""What becomes of a row without a text: a null, no row but a line in the side file, or the end of the job."""


@dataclass(frozen=True)
class Work:
    """What is done with every shard; plain data, for other processes."""

    folder: Path
    identity: str
    """Stands for model and options in the ids of shards."""
    question: Question
    columns: tuple[str, ...]
    """One column of texts, or two for pairs."""
    id_column: str | None
    """The column of ids; without one, an id is the name of the file and the number of the row."""
    on_null: str = NULL
    batch_tokens: int | None = None
    """The most tokens of a run of the model, unless one text has more. Changes no result."""


class Worker:
    """A model at work on shards, one after the other."""

    def __init__(self, encoder: Encoder, work: Work) -> None:
        """Raises ``InputError`` for a model that cannot answer what is asked."""
        self._counted = _CountedSession(encoder.session, work.batch_tokens)
        session: Any = self._counted
        own = type(encoder)(session, encoder.tokenizer, encoder.info, artifact=encoder.artifact)
        self._answering = answering(own, work.question)
        self._work = work

    def run(self, shard: Shard, advance: Advance) -> Finished:
        """Answer a shard and write its file. Raises ``InputError``; then there is no file."""
        shard.file.check_unchanged()
        start, work = time.perf_counter(), self._work
        name = shard.output_name(work.identity)
        reading = FORMATS[shard.file.suffix].read(
            shard.file, shard.begin, shard.end, shard.first_row, work.columns, work.id_column
        )
        run = _Run(shard, work, self._answering, self._counted, advance)
        with ThreadPoolExecutor(1, "bertc-read") as reader, ThreadPoolExecutor(1, "bertc-write") as writer:
            run.write_all(_ahead(reader, reading), writer, work.folder / name)
        shard.file.check_unchanged()
        write_rejected(work.folder, name, run.rejected_lines())
        size, digest = file_facts(work.folder / name)
        return Finished(
            shard.id(work.identity), shard.file.name, name, run.rows, len(run.rejected), run.truncated,
            run.tokens, round(time.perf_counter() - start, 3), size, digest,
        )  # fmt: skip


class _Run:
    """The counts of a shard while it is worked on."""

    def __init__(
        self, shard: Shard, work: Work, model: Answering, counted: _CountedSession, advance: Advance
    ) -> None:
        self._shard, self._work, self._model, self._advance = shard, work, model, advance
        self._counted = counted
        self.rows = self.truncated = self.tokens = 0
        self.rejected: list[Rejected] = []

    def write_all(self, parts: Iterator[Part], writer: ThreadPoolExecutor, path: Path) -> None:
        """Answer parts; the file is opened with the first, which tells the type of ids."""
        first = next(parts, Part())
        arrow = pyarrow("writing .parquet")
        ids = self._ids(first)
        seen = 0
        with shard_file(path, [arrow.field("id", ids.type), *self._model.fields]) as write:
            waiting: Future[None] | None = None
            part: Part | None = first
            while part is not None:
                columns = self._answer(part)
                if waiting is not None:
                    waiting.result()
                waiting = writer.submit(write, columns)
                seen += len(part.rows) + len(part.rejected)
                part = next(parts, None)
            if waiting is not None:
                waiting.result()
        self._advance(self._shard.rows - seen, 0)

    def rejected_lines(self) -> list[dict[str, Any]]:
        """Return what the side file says."""
        name = self._shard.file.name
        return [{"file": name, "row": row, "reason": reason} for row, reason in sorted(self.rejected)]

    def _answer(self, part: Part) -> list[Any]:
        """Return the columns of a part, ids first."""
        seen = len(part.rows) + len(part.rejected)
        self.rejected += part.rejected
        is_there = [None not in texts for texts in part.texts]
        if not all(is_there) and self._work.on_null != NULL:
            part, is_there = self._without_nulls(part, is_there)
        items = [as_item(texts) for texts, there in zip(part.texts, is_there, strict=True) if there]
        before = self._counted.tokens
        try:
            answers = self._ask(items)
        except InputError:
            part, is_there, answers = self._ask_one_by_one(part, is_there)
        columns = with_nulls(self._model.columns(answers), is_there)
        self.rows += len(part.rows)
        self.tokens += self._counted.tokens - before
        self._advance(seen, self._counted.tokens - before)
        return [self._ids(part), *columns]

    def _without_nulls(self, part: Part, is_there: list[bool]) -> tuple[Part, list[bool]]:
        missing = [index for index, there in enumerate(is_there) if not there]
        if self._work.on_null == ERROR:
            raise UnmendableError(
                f"{self._shard.file.path}, row {part.rows[missing[0]]}: no text (null): choose --on-null null"
                " or skip, and a new folder"
            )
        self.rejected += [Rejected(part.rows[index], "no text (null)") for index in missing]
        kept = _only(part, [index for index, there in enumerate(is_there) if there])
        return kept, [True] * len(kept.rows)

    def _ask(self, items: list[Any]) -> Any:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", TruncationWarning)
            answers = self._model.ask(items)
        for each in caught:
            if isinstance(each.message, TruncationWarning):
                self.truncated += each.message.truncated
            else:
                warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)
        return answers

    def _ask_one_by_one(self, part: Part, is_there: list[bool]) -> tuple[Part, list[bool], list[Any]]:
        """Return the part without rows that the model refuses, and its answers."""
        kept, answers = [], []
        for index, (texts, there) in enumerate(zip(part.texts, is_there, strict=True)):
            if not there:
                kept.append(index)
                continue
            try:
                answers.extend(self._ask([as_item(texts)]))
                kept.append(index)
            except InputError as error:
                self.rejected.append(Rejected(part.rows[index], str(error).removeprefix("inputs[0] ")))
        return _only(part, kept), [is_there[index] for index in kept], answers

    def _ids(self, part: Part) -> Any:
        arrow = pyarrow("writing .parquet")
        if part.ids is None:
            name = os.fsencode(self._shard.file.name).decode(errors="backslashreplace")
            return arrow.array([f"{name}#{row}" for row in part.rows], arrow.string())
        return part.ids


class _CountedSession:
    """A session that counts the tokens it has run, so many at a time."""

    def __init__(self, session: Any, batch_tokens: int | None) -> None:
        self._session, self._batch_tokens = session, batch_tokens
        self.tokens = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def run_batch(self, batch: Any, **options: Any) -> Any:
        self.tokens += int(batch.cu_seqlens[-1])
        pieces = split(batch, self._batch_tokens) if self._batch_tokens else [batch]
        results = [self._session.run_batch(piece, **options) for piece in pieces]
        if len(results) == 1:
            return results[0]
        return {name: np.concatenate([each[name] for each in results]) for name in results[0]}


def _only(part: Part, indices: list[int]) -> Part:
    """Return the rows of a part at some indices."""
    rows = [part.rows[index] for index in indices]
    texts = [part.texts[index] for index in indices]
    return Part(rows, texts, None if part.ids is None else part.ids.take(indices))


def _ahead(pool: ThreadPoolExecutor, items: Iterator[T]) -> Iterator[T]:
    """Yield items; a thread makes the next one while the caller works on this."""
    waiting = pool.submit(_take, items)
    while one := waiting.result():
        waiting = pool.submit(_take, items)
        yield from one


def _take(items: Iterator[T]) -> list[T]:
    """Return the next item, if there is one."""
    return list(islice(items, 1))
