"""Measures the start of a process up to its first answer, phase by phase, each time in a fresh process.

``python -m bertc.bench.startup FILE START`` is that process: it prints one JSON object. START is
``time.time()`` in the parent, just before it starts the child.
"""

from __future__ import annotations

import itertools
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from bertc.bench.fresh_process import run_module
from bertc.errors import BertcError

SCRIPT = """
import sys, bertc
bertc.load(sys.argv[1]).encode(sys.argv[2])
sys.stdout.write("done"); sys.stdout.flush()
"""
"""A script that embeds one text: a user waits for all of it."""
PHASES = ("interpreter", "import", "open", "session", "tokenizer", "first_run")
PURPOSE = "measuring the start"
TEXT = "The first sentence of a fresh process."


def measure_startup(path: Path, repeats: int = 5) -> dict[str, float]:
    """Measure milliseconds of each of ``PHASES`` and their ``total``, in the run with the median total.

    One more run goes first, to fill the disk cache. An embedding model also has ``whole``: the median
    of what :func:`time_whole` gives, in turns with the others.
    """
    from bertc.artifact.reader import open_artifact

    time_phases(path)
    embeds = open_artifact(path).manifest.model.task == "embedding"
    runs, wholes = [], []
    for _ in range(repeats):
        runs.append(time_phases(path))
        if embeds:
            wholes.append(time_whole(path))
    middle = sorted(runs, key=lambda run: run["total"])[len(runs) // 2]
    return {**middle, "whole": statistics.median(wholes)} if embeds else middle


def time_whole(path: Path) -> float:
    """Measure milliseconds from before a process of ``SCRIPT`` starts until it has an embedding."""
    start = time.perf_counter()
    command = [sys.executable, "-c", SCRIPT, str(path), TEXT]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        answer = child.stdout.read(4) if child.stdout else b""
        elapsed = time.perf_counter() - start
    if answer != b"done":
        raise BertcError(f"{PURPOSE} failed: the child ended with status {child.returncode}")
    return 1000 * elapsed


def time_phases(path: Path) -> dict[str, float]:
    """Measure milliseconds of each of ``PHASES`` and their ``total``, in one fresh process."""
    times: dict[str, float] = run_module("bertc.bench.startup", path, repr(time.time()), purpose=PURPOSE)
    return times


def _child(path: str, started: float) -> dict[str, float]:
    """Do what ``bertc.load`` and a first call do, and time each part."""
    born = time.time()
    marks = [time.perf_counter()]

    from bertc.artifact.reader import open_artifact
    from bertc.encoder import tokenizer_of
    from bertc.ports import takes_selection
    from bertc.runtime.session import Session

    marks.append(time.perf_counter())
    artifact = open_artifact(path)
    marks.append(time.perf_counter())
    session = Session(artifact.executable)
    marks.append(time.perf_counter())
    tokenizer = tokenizer_of(artifact)
    marks.append(time.perf_counter())
    batch = tokenizer([TEXT]).packed
    if takes_selection(session.inputs):
        batch = batch.selecting(batch.cu_seqlens[:-1])
    session.run_batch(batch)
    marks.append(time.perf_counter())
    seconds = [born - started, *(after - before for before, after in itertools.pairwise(marks))]
    times = {phase: 1000 * value for phase, value in zip(PHASES, seconds, strict=True)}
    return {**times, "total": sum(times.values())}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_child(sys.argv[1], float(sys.argv[2]))) + "\n")
