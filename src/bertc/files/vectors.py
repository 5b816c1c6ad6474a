"""Vectors to a file, a slice at a time: ``.npy``, ``.jsonl`` or ``.parquet``.

Sparse vectors, which are ``{token: weight}``, and arrays with a row for each token go to ``.jsonl`` alone.
"""

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

Vector = NDArray[Any] | Mapping[str, float]
Write = Callable[[Sequence[Record], Any], None]
"""Append the vectors of these records: an array [records, width], or a sequence of vectors for ``.jsonl``."""


def vector_writer(path: Path, width: int, dtype: str = "<f4") -> AbstractContextManager[Write]:
    """Open ``path`` for vectors of ``width`` numbers, in NumPy's ``dtype``; the suffix says which format.

    As :func:`bertc.files.rows.row_writer` does. Raises ``InputError`` for another suffix.
    """
    writer = WRITERS.get(path.suffix.lower())
    if writer is None:
        raise InputError(f"{path}: cannot write {path.suffix or 'without suffix'}: use {', '.join(WRITERS)}")
    return row_writer(path, lambda file: writer(file, width, dtype))


def to_json_line(record: Record, vector: Vector) -> str:
    """``{"id": ..., "text": ..., "embedding": ...}``, the numbers with all digits that float32 has.

    With ``pair`` for the second text of a pair. An id that JSON has no form for, such as a date, is a string.
    """
    pair = {} if record.pair is None else {"pair": record.pair}
    head = json.dumps({"id": record.id, "text": record.text, **pair}, default=str)
    return f'{head[:-1]}, "embedding": {_spell(vector)}}}'


def _spell(vector: Vector) -> str:
    if isinstance(vector, Mapping):
        weights = (f"{json.dumps(token)}: {weight:.9g}" for token, weight in vector.items())
        return f"{{{', '.join(weights)}}}"
    if vector.ndim > 1:
        return f"[{', '.join(map(_spell, vector))}]"
    return f"[{', '.join(map('{:.9g}'.format, vector.tolist()))}]"


@contextmanager
def _npy(file: IO[bytes], width: int, dtype: str) -> Iterator[Write]:
    """NumPy's header leaves room for its first dimension to grow, so it is written twice."""
    count = 0
    _npy_header(file, count, width, dtype)
    start = file.tell()

    def write(_: Sequence[Record], vectors: Any) -> None:
        nonlocal count
        count += len(vectors)
        file.write(np.ascontiguousarray(vectors, dtype).data)

    yield write
    file.seek(0)
    _npy_header(file, count, width, dtype)
    if file.tell() != start:
        raise OSError("the header of the .npy file has outgrown its room")


def _npy_header(file: IO[bytes], rows: int, width: int, dtype: str) -> None:
    header: dict[str, Any] = {"descr": dtype, "fortran_order": False, "shape": (rows, width)}
    np.lib.format.write_array_header_1_0(file, header)


@contextmanager
def _jsonl(file: IO[bytes], _: int, __: str) -> Iterator[Write]:
    def write(records: Sequence[Record], vectors: Any) -> None:
        for record, vector in zip(records, vectors, strict=True):
            file.write(to_json_line(record, vector).encode() + b"\n")

    yield write


@contextmanager
def _parquet(file: IO[bytes], width: int, dtype: str) -> Iterator[Write]:
    """Columns id (string or null), text, embedding (a list of ``width`` numbers); a row group per slice."""
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError:
        raise MissingExtraError("pyarrow", "parquet", "writing .parquet") from None
    number = arrow.from_numpy_dtype(np.dtype(dtype))
    fields = {"id": arrow.string(), "text": arrow.string(), "embedding": arrow.list_(number, width)}
    schema = arrow.schema(list(fields.items()))
    with parquet.ParquetWriter(file, schema) as writer:

        def write(records: Sequence[Record], vectors: Any) -> None:
            flat = arrow.array(vectors.reshape(-1), number)
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


WRITERS: Mapping[str, Callable[[IO[bytes], int, str], AbstractContextManager[Write]]] = {
    ".npy": _npy,
    ".jsonl": _jsonl,
    ".parquet": _parquet,
}
"""File suffix -> writer."""
