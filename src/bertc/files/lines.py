"""Lines of a UTF-8 file with their numbers: what every reader of text starts from.

Files whose names end in ``.gz``, ``.bz2`` or ``.xz`` are decompressed as they are read.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import IO

from bertc.errors import BertcError, InputError

STDIN = "-"
COMPRESSED = {".gz": "gzip", ".bz2": "bz2", ".xz": "lzma"}
"""Ending of the name -> module of the standard library."""
LONGEST_LINE = 2**30
"""The bytes of a line, which is read whole: what has no line feed at all shall not take all memory."""


def compression(path: str | PathLike[str]) -> str | None:
    """The ending that says how a file is compressed, if it is."""
    suffix = Path(path).suffix.lower()
    return suffix if suffix in COMPRESSED else None


@contextmanager
def open_bytes(path: str | PathLike[str]) -> Iterator[IO[bytes]]:
    """Open a file, decompressed, or standard input for ``-``.

    Raises ``InputError`` if it cannot be read, then or later in the block.
    """
    suffix = compression(path)
    try:
        if str(path) == STDIN:
            if sys.stdin is None:
                raise InputError("cannot read standard input: it is closed")
            yield sys.stdin.buffer
        elif suffix is None:
            with Path(path).open("rb") as file:
                yield file
        else:
            with import_module(COMPRESSED[suffix]).open(path, "rb") as file:
                yield file
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    except Exception as error:  # what the decompressors raise has no common base
        if suffix is None or isinstance(error, (BertcError, UnicodeError)):
            raise
        raise InputError(f"cannot read {path}: damaged, or no {suffix} file ({error})") from None


def read_lines(path: str | PathLike[str]) -> Iterator[tuple[int, str]]:
    """Yield (number from 1, line without its end); ``-`` reads standard input.

    Only a line feed ends a line, with or without a carriage return before it: texts may hold any
    other separator. Raises ``InputError`` with file and line where a line is not UTF-8, or too long.
    """
    with open_bytes(path) as file:
        for number, raw in enumerate(iter(partial(file.readline, LONGEST_LINE + 1), b""), 1):
            if len(raw) > LONGEST_LINE:
                raise InputError(
                    f"{path}, line {number}: more than {LONGEST_LINE:,} bytes without a line feed: is it a "
                    "text file? Cut the line"
                )
            yield number, _decode(raw, str(path), number)


def _decode(raw: bytes, name: str, number: int) -> str:
    try:
        text = raw.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{name}, line {number}: not UTF-8 ({error.reason}): convert the file") from None
    return text.removesuffix("\n").removesuffix("\r")
