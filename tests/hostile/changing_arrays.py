"""Changes an array while a session reads it; run as a child process, since it may crash.

    python -m tests.hostile.changing_arrays ARTIFACT ARRAY

A thread writes a hostile number and the good one into the array by turns, as a server does that fills
its buffers for the next request too early. Prints how many calls gave the right bits, and how many an
``InputError``; anything else ends the process with an exception.
"""

from __future__ import annotations

import faulthandler
import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from bertc.artifact.reader import open_artifact
from bertc.errors import InputError
from bertc.runtime.session import Session

Array = np.ndarray[Any, Any]

HOSTILE = 2**30
ENOUGH = 200
"""Calls that end well, and calls that are refused: both must happen, or nothing was changing."""
MOST_CALLS = 100_000


def attack(session: Session, name: str) -> dict[str, int]:
    """Counts of calls by how they ended."""
    cu_seqlens = np.arange(0, 1600, 8, dtype=np.int32)
    tokens = np.arange(cu_seqlens[-1], dtype=np.int32)
    arrays = {
        "input_ids": tokens % 250,
        "cu_seqlens": cu_seqlens,
        "token_type_ids": tokens % 2,
        "position_ids": tokens % 8,
    }
    expected = session.run(**arrays)
    counts = {"right": 0, "refused": 0}
    stop = threading.Event()
    writer = threading.Thread(target=write, args=(arrays[name], stop))
    writer.start()
    try:
        while min(counts.values()) < ENOUGH and sum(counts.values()) < MOST_CALLS:
            counts[call(session, arrays, expected)] += 1
    finally:
        stop.set()
        writer.join()
    return counts


def write(array: Array, stop: threading.Event) -> None:
    """Write one element a million times a call: NumPy lets go of the interpreter's lock meanwhile.

    The element is read long after it was checked, in one of the last chunks.
    """
    late = array[len(array) * 3 // 4 :]
    element = np.lib.stride_tricks.as_strided(late, (10**6,), (0,))
    by_turns = np.resize(np.repeat(np.array([HOSTILE, late[0]], np.int32), 500), 10**6)
    while not stop.is_set():
        np.copyto(element, by_turns)


def call(session: Session, arrays: dict[str, Array], expected: dict[str, Array]) -> str:
    """How one call ended."""
    try:
        found = session.run(**arrays)
    except InputError:
        time.sleep(1e-4)  # A refusal takes microseconds; the writer may be waiting for a processor.
        return "refused"
    assert all((found[key] == values).all() for key, values in expected.items()), "other numbers"
    return "right"


if __name__ == "__main__":
    faulthandler.enable()
    counts = attack(Session(open_artifact(Path(sys.argv[1])), num_threads=1), sys.argv[2])
    sys.stdout.write(json.dumps(counts))
