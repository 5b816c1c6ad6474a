"""Vectors to a file, a slice at a time: ``.npy``, ``.jsonl`` or ``.parquet``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from bertc.errors import InputError, MissingExtraError
from bertc.files.rows import row_writer
from bertc.files.texts import Record

FloatArray = NDArray[np.float32]
Write = Callable[[Sequence[Record], FloatArray], None]
"""Append the vectors [records, width] of these records."""


def vector_writer(path: Path, width: int) -> AbstractContextManager[Write]:
    """Open ``path`` for vectors of ``width`` numbers; the suffix says which format.

    As :func:`bertc.files.rows.row_writer` does. Raises ``InputError`` for another suffix.
    """
    writer = WRITERS.get(path.suffix.lower())
    if writer is None:
        raise InputError(f"{path}: cannot write {path.suffix or 'without suffix'}: use {', '.join(WRITERS)}")
    return row_writer(path, lambda file: writer(file, width))


def to_json_line(record: Record, vector: FloatArray) -> str:
    """``{"id": ..., "text": ..., "embedding": [...]}``, the numbers with all digits that float32 has.

    An id that JSON has no form for, such as a date, is a string.
    """
    head = json.dumps({"id": record.id, "text": record.text}, default=str)
    numbers = ", ".join(map("{:.9g}".format, vector.tolist()))
    return f'{head[:-1]}, "embedding": [{numbers}]}}'


@contextmanager
def _npy(file: IO[bytes], width: int) -> Iterator[Write]:
    """NumPy's header leaves room for its first dimension to grow, so it is written twice."""
    count = 0
    _npy_header(file, count, width)
    start = file.tell()

    def write(_: Sequence[Record], vectors: FloatArray) -> None:
        nonlocal count
        count += len(vectors)
        file.write(np.ascontiguousarray(vectors, "<f4").data)

    yield write
    file.seek(0)
    _npy_header(file, count, width)
    if file.tell() != start:
        raise OSError("the header of the .npy file has outgrown its room")


def _npy_header(file: IO[bytes], rows: int, width: int) -> None:
    header: dict[str, Any] = {"descr": "<f4", "fortran_order": False, "shape": (rows, width)}
    np.lib.format.write_array_header_1_0(file, header)


@contextmanager
def _jsonl(file: IO[bytes], _: int) -> Iterator[Write]:
    def write(records: Sequence[Record], vectors: FloatArray) -> None:
        for record, vector in zip(records, vectors, strict=True):
            file.write(to_json_line(record, vector).encode() + b"\n")

    yield write


@contextmanager
def _parquet(file: IO[bytes], width: int) -> Iterator[Write]:
    """Columns id (string or null), text, embedding (a list of ``width`` floats); a row group per slice."""
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError:
        raise MissingExtraError("pyarrow", "parquet", "writing .parquet") from None
    fields = {"id": arrow.string(), "text": arrow.string(), "embedding": arrow.list_(arrow.float32(), width)}
    schema = arrow.schema(list(fields.items()))
    with parquet.ParquetWriter(file, schema) as writer:

        def write(records: Sequence[Record], vectors: FloatArray) -> None:
            flat = arrow.array(vectors.reshape(-1), arrow.float32())
            columns = [
                arrow.array([_id(record) for record in records], arrow.string()),
                arrow.array([_unicode(record.text) for record in records], arrow.string()),
                arrow.FixedSizeListArray.from_arrays(flat, width),
            ]
            writer.write_table(arrow.table(columns, schema=schema))

        yield write


def _id(record: Record) -> str | None:
    return None if record.id is None else _unicode(str(record.id))


def _unicode(text: str) -> str:
    """``text`` with ? for lone surrogates, which no file in UTF-8 can hold."""
    return text.encode("utf-8", "replace").decode()


WRITERS: Mapping[str, Callable[[IO[bytes], int], AbstractContextManager[Write]]] = {
    ".npy": _npy,
    ".jsonl": _jsonl,
    ".parquet": _parquet,
}
"""File suffix -> writer."""
