"""Ties a process to the one that started it: one that waits for more work must not do so for ever."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
from threading import Thread


def end_with_parent() -> None:
    """End this process of ``multiprocessing`` when its parent is gone, even in the middle of work."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        Thread(target=_end_after, args=(parent.sentinel,), daemon=True).start()


def _end_after(sentinel: int) -> None:
    multiprocessing.connection.wait([sentinel])
    os._exit(1)
