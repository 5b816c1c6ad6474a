"""Rows to a file, a slice at a time. The file appears at its destination complete or not at all.

What was written before an input turned out to be wrong is kept beside it, under a name that says so.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Any

from bertc.atomic_file import replace_atomically
from bertc.errors import BertcError, InputError
from bertc.files.texts import Record

WriteRows = Callable[[Sequence[Record], Any], None]
"""Append the rows of these records."""
OpenRows = Callable[[IO[bytes]], AbstractContextManager[WriteRows]]


@contextmanager
def row_writer(path: Path, open_rows: OpenRows) -> Iterator[WriteRows]:
    """Open ``path`` for rows in the format of ``open_rows``.

    If the block raises a ``BertcError`` after the first rows, these go to :func:`partial_path`. Raises
    ``InputError`` where the disk refuses.
    """
    failure: BertcError | None = None
    rows = 0

    def counted(records: Sequence[Record], values: Any) -> None:
        nonlocal rows
        write(records, values)
        rows += len(records)

    try:
        with replace_atomically(path) as file:
            with open_rows(file) as write:
                try:
                    yield counted
                except BertcError as error:
                    failure = error
            if failure is not None:
                if rows:
                    file.flush()
                    shutil.move(file.name, partial_path(path))
                raise failure
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}; nothing was left there") from None


def partial_path(path: Path) -> Path:
    """Where the rows of ``path`` go that were written before a failure: ``vectors.partial.npy``."""
    return path.with_name(f"{path.stem}.partial{path.suffix}")
