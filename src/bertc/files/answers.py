"""Answers to a ``.jsonl`` file: a JSON object for each text, or pair, and what the model said of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Any

from bertc.files.rows import WriteRows, row_writer
from bertc.files.texts import Record


def answer_writer(path: Path) -> AbstractContextManager[WriteRows]:
    """Open a ``.jsonl`` file for answers, as :func:`bertc.files.rows.row_writer` does."""
    return row_writer(path, _jsonl)


def to_json_line(record: Record, answer: Any) -> str:
    """``{"id": ..., "text": ..., "answer": ...}``, with ``pair`` for the second text of one that has it.

    An id that JSON has no form for, such as a date, is a string, and NumPy's numbers are numbers.
    """
    pair = {} if record.pair is None else {"pair": record.pair}
    line = {"id": record.id, "text": record.text, **pair, "answer": answer}
    return json.dumps(line, default=lambda value: value.item() if hasattr(value, "item") else str(value))


@contextmanager
def _jsonl(file: IO[bytes]) -> Iterator[WriteRows]:
    def write(records: Sequence[Record], answers: Any) -> None:
        for record, answer in zip(records, answers, strict=True):
            file.write(to_json_line(record, answer).encode() + b"\n")

    yield write
