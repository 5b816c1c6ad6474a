"""A compiler that is killed, or has no room on the disk, leaves no half file at the destination."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import bertc

KILLED_BEFORE_RENAME = """
import os, signal, sys
import bertc
os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL)
bertc.compile(sys.argv[1], sys.argv[2])
"""

FULL_DISK = """
import resource, sys
import bertc
from bertc.compiler import run_pipeline

def fill_up(step, seconds):
    if step == sys.argv[4]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))

try:
    run_pipeline(sys.argv[1], sys.argv[2], bertc.Recipe(), on_step=fill_up)
except bertc.BertcError as error:
    sys.exit(f"refused: {error}")
"""
LAST_STEP_BEFORE_WRITING = "certify"

COMPILE = [sys.executable, "-m", "bertc.cli.main", "compile"]


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_kill_after_the_last_byte_leaves_nothing(checkpoint: Path, tmp_path: Path) -> None:
    output = tmp_path / "model.bertc"
    assert run(KILLED_BEFORE_RENAME, checkpoint, output).returncode == -signal.SIGKILL
    assert not output.exists()


def test_kill_keeps_the_file_that_was_there(checkpoint: Path, tmp_path: Path) -> None:
    output = tmp_path / "model.bertc"
    bertc.compile(checkpoint, output, dtype="fp32")
    before = output.read_bytes()
    assert run(KILLED_BEFORE_RENAME, checkpoint, output).returncode == -signal.SIGKILL
    assert output.read_bytes() == before


def test_kill_at_any_time_leaves_a_whole_file_or_none(checkpoint: Path, tmp_path: Path) -> None:
    output = tmp_path / "model.bertc"
    command = [*COMPILE, str(checkpoint), "-o", str(output)]
    start = time.monotonic()
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    duration = time.monotonic() - start
    for part in np.linspace(0.2, 1.0, 8):
        output.unlink(missing_ok=True)
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            child.wait(timeout=part * duration)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        if output.exists():
            bertc.load(output, verify=True)


@pytest.mark.parametrize("room", [0, 1, 4096, 40_000])
def test_full_disk_leaves_nothing(checkpoint: Path, tmp_path: Path, room: int) -> None:
    output = tmp_path / "model.bertc"
    child = run(FULL_DISK, checkpoint, output, room, LAST_STEP_BEFORE_WRITING)
    assert child.returncode == 1
    assert f"refused: cannot write {output}" in child.stderr
    assert not list(tmp_path.iterdir())


def test_full_disk_keeps_the_file_that_was_there(checkpoint: Path, tmp_path: Path) -> None:
    output = tmp_path / "model.bertc"
    bertc.compile(checkpoint, output, dtype="fp32")
    before = output.read_bytes()
    assert run(FULL_DISK, checkpoint, output, 4096, LAST_STEP_BEFORE_WRITING).returncode == 1
    assert output.read_bytes() == before
    assert list(tmp_path.iterdir()) == [output]


def test_compiling_over_a_loaded_file_leaves_its_session_alone(checkpoint: Path, tmp_path: Path) -> None:
    output = tmp_path / "model.bertc"
    bertc.compile(checkpoint, output, dtype="fp32")
    encoder = bertc.load(output)
    before = encoder.encode(["hello world"])
    bertc.compile(checkpoint, output, dtype="int8")
    np.testing.assert_array_equal(encoder.encode(["hello world"]), before)


@pytest.mark.parametrize("name", ["missing/model.bertc", "."])
def test_impossible_destination_is_a_clear_error(checkpoint: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises((bertc.BertcError, OSError), match=r"\S"):
        bertc.compile(checkpoint, tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["show", "embed", "bench"])
def test_command_line_refuses_a_damaged_file_in_one_line(command: str, tmp_path: Path) -> None:
    path = tmp_path / "damaged.bertc"
    path.write_bytes(b"\x40" + bytes(200))
    arguments = {"embed": ["hello"], "show": [], "bench": []}[command]
    child = subprocess.run(
        [sys.executable, "-m", "bertc.cli.main", command, str(path), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert child.returncode == 1
    assert str(path) in child.stderr
    assert len(child.stderr.splitlines()) == 1
