"""Busy programs beside the engines, as every server has them: an event loop, a tokenizer, another model."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

_PROGRAM = """
import os, sys
parent = int(sys.argv[1])
while os.getppid() == parent:  # its end must not outlive the bench
    for _ in range(1_000_000):
        pass
"""


@contextmanager
def busy_neighbors(count: int) -> Iterator[None]:
    """Keep ``count`` processors busy, each by a program of its own, bound to it where the system can."""
    processors = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    with ExitStack() as stack:
        for index in range(count):
            program = subprocess.Popen([sys.executable, "-c", _PROGRAM, str(os.getpid())])
            stack.callback(program.wait)
            stack.callback(program.kill)
            if processors:
                os.sched_setaffinity(program.pid, {processors[index % len(processors)]})
        yield
