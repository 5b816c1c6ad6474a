"""One loaded model used by several Python threads, in forked children, and in other processes by pickle.

Everybody gets the same bits.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bertc
from bertc.artifact.reader import open_artifact
from bertc.runtime.session import Session
from tests.support.artifacts import Artifacts
from tests.support.batches import packed, random_lengths
from tests.support.preload import compile_library, needs_c_compiler, preloading
from tests.support.sanitizers import under_thread_sanitizer

pytestmark = pytest.mark.native

Array = np.ndarray[Any, Any]

CHILD_SECONDS = 120
"""A child that takes longer hangs: its work takes milliseconds."""
TEXTS = ["the man plays guitar", "", "hello world! " * 20, "cat", "\U0001f600 我们在北京"] * 4

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
thread_ids_recur = pytest.mark.skipif(
    under_thread_sanitizer(), reason="ThreadSanitizer ends a child whose thread has the id of its parent's"
)


@pytest.fixture(params=["fp32", "bf16", "int8"])
def artifact(request: pytest.FixtureRequest, artifacts: Artifacts) -> Path:
    return artifacts.tiny(request.param, pooling="mean", max_position_embeddings=512)


def batch_of(lengths: list[int], seed: int = 0) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    return packed([rng.integers(0, 300, length) for length in lengths])


LONG = batch_of([512])
SHORT = batch_of([7] * 60)
MIXED = batch_of(random_lengths(np.random.default_rng(5), 25, 300))
BATCHES = (LONG, SHORT, MIXED)
"""Of these, threads share every op of the first, and take chunks of the others for themselves."""


def bits(session: Session, batch: tuple[Array, Array]) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in session.run(*batch).items()}


def all_bits(session: Session) -> list[dict[str, bytes]]:
    return [bits(session, batch) for batch in BATCHES]


def in_forked_child(succeeds: Callable[[], bool]) -> bool:
    """Whether ``succeeds`` returned true in a child of ``os.fork``, in time and without a crash."""
    with warnings.catch_warnings():
        # Python 3.12 warns of forks in a process with threads; that is what is tested here.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.alarm(CHILD_SECONDS)
            status = 0 if succeeds() else 2
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@contextmanager
def busy(session: Session) -> Iterator[None]:
    """Two Python threads keep running batches meanwhile."""
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            all_bits(session)

    with ThreadPoolExecutor(2) as pool:
        workers = [pool.submit(work) for _ in range(2)]
        try:
            yield
        finally:
            stop.set()
        for worker in workers:
            worker.result()


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_concurrent_calls_of_one_session(artifact: Path, threads: int) -> None:
    session = Session(open_artifact(artifact).executable, num_threads=threads)
    expected = all_bits(Session(open_artifact(artifact).executable, num_threads=1))
    start = threading.Barrier(6)

    def work(first: int) -> list[bool]:
        start.wait()
        order = [(first + i) % len(BATCHES) for i in range(10)]
        return [bits(session, BATCHES[i]) == expected[i] for i in order]

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(work, range(6)))
    assert all(map(all, answers))


def test_two_sessions_share_one_artifact(artifact: Path) -> None:
    opened = open_artifact(artifact)
    one, two = Session(opened.executable, num_threads=2), Session(opened.executable, num_threads=2)
    expected = all_bits(one)
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(all_bits, [one, two])) == [expected, expected]
    del one
    assert all_bits(two) == expected


def test_a_refused_call_leaves_the_session_usable(artifact: Path) -> None:
    session = Session(open_artifact(artifact).executable, num_threads=2)
    expected = all_bits(session)
    for _ in range(3):
        with pytest.raises(bertc.InputError):
            session.run(np.array([300], np.int32), np.array([0, 1], np.int32))
    assert all_bits(session) == expected


@needs_fork
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_after_fork_of_a_process_that_used_its_threads(artifact: Path, threads: int) -> None:
    session = Session(open_artifact(artifact).executable, num_threads=threads)
    expected = all_bits(session)
    assert in_forked_child(lambda: all_bits(session) == expected)
    assert all_bits(session) == expected


@needs_fork
def test_after_fork_of_a_process_that_used_no_threads_yet(artifact: Path) -> None:
    opened = open_artifact(artifact)
    session = Session(opened.executable, num_threads=2)
    expected = all_bits(Session(opened.executable, num_threads=1))
    assert in_forked_child(lambda: all_bits(session) == expected)
    assert all_bits(session) == expected


@needs_fork
def test_a_child_of_a_child(artifact: Path) -> None:
    session = Session(open_artifact(artifact).executable, num_threads=2)
    expected = all_bits(session)

    def grandchild_succeeds() -> bool:
        return in_forked_child(lambda: all_bits(session) == expected)

    assert in_forked_child(lambda: all_bits(session) == expected and grandchild_succeeds())
    assert in_forked_child(grandchild_succeeds)


IN_A_CHILD_WITH_THE_SAME_ID = """
import os, signal, sys
import numpy as np
from bertc.artifact.reader import open_artifact
from bertc.runtime.session import Session

session = Session(open_artifact(sys.argv[1]).executable, num_threads=2)
batch = np.zeros(512, np.int32), np.array([0, 512], np.int32)
session.run(*batch)
parent, child = os.getpid(), os.fork()
if child == 0:
    signal.alarm(20)
    session.run(*batch)
    os._exit(0 if os.getpid() == parent else 3)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@needs_fork
@needs_c_compiler
def test_a_child_that_has_the_process_id_of_its_parent(artifact: Path, tmp_path: Path) -> None:
    """As a child's child may, whose grandparent has ended."""
    library = compile_library("constant_pid.c", tmp_path)
    command = [sys.executable, "-c", IN_A_CHILD_WITH_THE_SAME_ID, str(artifact)]
    assert subprocess.run(command, env=preloading(library)).returncode == 0


@needs_fork
def test_fork_while_other_threads_are_inside_a_call(artifact: Path) -> None:
    session = Session(open_artifact(artifact).executable, num_threads=2)
    expected = all_bits(session)
    with busy(session):
        assert all(in_forked_child(lambda: all_bits(session) == expected) for _ in range(5))
    assert all_bits(session) == expected


@needs_fork
@thread_ids_recur
def test_a_forked_child_can_drop_the_model_and_load_another(artifact: Path) -> None:
    sessions = [Session(open_artifact(artifact).executable, num_threads=2)]
    expected = all_bits(sessions[0])

    def work() -> bool:
        sessions.clear()
        return all_bits(Session(open_artifact(artifact).executable, num_threads=2)) == expected

    assert in_forked_child(work)
    assert all_bits(sessions[0]) == expected


def encode_bits(encoder: bertc.Encoder) -> bytes:
    return np.asarray(encoder.encode(TEXTS)).tobytes()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@thread_ids_recur
@pytest.mark.parametrize(
    "method", [name for name in ("fork", "spawn") if name in multiprocessing.get_all_start_methods()]
)
def test_worker_processes_get_the_model_by_pickle(artifacts: Artifacts, method: str) -> None:
    encoders = [
        bertc.load(artifacts.tiny(dtype, pooling="mean", max_position_embeddings=512), num_threads=2)
        for dtype in ("fp32", "bf16", "int8")
    ]
    expected = [encode_bits(encoder) for encoder in encoders]
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map_async(encode_bits, encoders * 2).get(CHILD_SECONDS) == expected * 2


def test_a_pickle_holds_the_path_and_not_the_weights(
    artifact: Path, monkeypatch: Any, tmp_path: Path
) -> None:
    monkeypatch.chdir(artifact.parent)
    encoder = bertc.load(artifact.name, num_threads=3)
    data = pickle.dumps(encoder)
    assert len(data) < 1000
    monkeypatch.chdir(tmp_path)
    again = pickle.loads(data)
    assert again.session.num_threads == 3
    assert encode_bits(again) == encode_bits(encoder)
