"""What a process that works for another does when that one is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

STARTS_ANOTHER = """
import multiprocessing, os, time
from concurrent.futures import ProcessPoolExecutor
from bertc.runtime.parent_process import end_with_parent

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(1, mp_context=context, initializer=end_with_parent)
    print(pool.submit(os.getpid).result(), flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks processes up in /proc")
def test_a_process_ends_with_the_one_that_started_it(tmp_path: Path) -> None:
    script = tmp_path / "starts_another.py"
    script.write_text(STARTS_ANOTHER)
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert is_alive(child)
        parent.send_signal(signal.SIGKILL)
    give_up = time.monotonic() + 30
    while is_alive(child) and time.monotonic() < give_up:
        time.sleep(0.01)
    assert not is_alive(child)


def is_alive(process: int) -> bool:
    try:
        facts = Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return False
    return facts.rsplit(")", 1)[1].split()[0] != "Z"  # one that nobody waits for stays, dead
