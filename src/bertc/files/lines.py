"""Lines of a UTF-8 file with their numbers: what every reader of text starts from."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from os import PathLike
from pathlib import Path

from bertc.errors import InputError

STDIN = "-"


def read_lines(path: str | PathLike[str]) -> Iterator[tuple[int, str]]:
    """Yield (number from 1, line without its end); ``-`` reads standard input.

    Only a line feed ends a line, with or without a carriage return before it: texts may hold any
    other separator. Raises ``InputError`` with file and line where a line is not UTF-8.
    """
    name = str(path)
    try:
        with nullcontext(sys.stdin.buffer) if name == STDIN else Path(path).open("rb") as file:
            for number, raw in enumerate(file, 1):
                yield number, _decode(raw, name, number)
    except OSError as error:
        raise InputError(f"cannot read {name}: {error.strerror or error}") from None


def _decode(raw: bytes, name: str, number: int) -> str:
    try:
        text = raw.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{name}, line {number}: not UTF-8 ({error.reason}): convert the file") from None
    return text.removesuffix("\n").removesuffix("\r")
