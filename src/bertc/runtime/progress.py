"""Shows the progress of long work: a bar on a terminal, plain lines in a log. Standard error only."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[[int], None]
"""A function to call with the number of items that have just been done."""

SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def progress(
    total: int | None, what: str, *, enabled: bool, note: Callable[[], str] = str
) -> Iterator[Advance]:
    """Show how many of ``total`` items (None: unknown) are done while the block runs, and a note beside it.

    A terminal gets a bar, if rich is installed; else standard error gets a line every ten seconds, and one at
    the end of what took so long.
    """
    if not enabled:
        yield lambda _: None
        return
    has_bar = sys.stderr.isatty() and importlib.util.find_spec("rich") is not None
    with (_bar if has_bar else _lines)(total, what, note) as advance:
        yield advance


@contextmanager
def _bar(total: int | None, what: str, note: Callable[[], str]) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total, note="")
        yield lambda count: bar.update(task, advance=count, note=note())


@contextmanager
def _lines(total: int | None, what: str, note: Callable[[], str]) -> Iterator[Advance]:
    done = 0
    of_total = "" if total is None else f" of {total}"
    start = last = time.monotonic()

    def tell() -> str:
        said = note()
        return f", {said}" if said else ""

    def advance(count: int) -> None:
        nonlocal done, last
        done += count
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES:
            last = now
            _line(f"{what}: {done}{of_total}{tell()}")

    yield advance
    seconds = time.monotonic() - start
    if seconds >= SECONDS_BETWEEN_LINES:
        _line(f"{what}: {done}{of_total} in {seconds:.1f} s{tell()}")


def _line(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
