"""The process of ``bertc serve``: sockets, signals, logs, and what bad connections do to it."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason='the extra "serve" is not installed')

BODY = json.dumps({"inputs": "wordthatnobodymaylog dog"}).encode()
POST = b"POST /embed HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(BODY)


@dataclass
class Process:
    """A running server."""

    process: subprocess.Popen[bytes]
    log: Path
    model: Path
    port: int

    def connect(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def get(self, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("GET", path)
        reply = connection.getresponse()
        found = reply.status, reply.read()
        connection.close()
        return found

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text("utf-8").splitlines()]

    def wait_for(self, event: str) -> dict[str, Any]:
        for _ in range(6000):
            for found in self.events():
                if found["event"] == event:
                    return found
            if self.process.poll() is not None:
                break
            time.sleep(0.01)
        raise AssertionError(self.log.read_text("utf-8"))


@contextlib.contextmanager
def run_server(folder: Path, source: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "bertc", "serve", f"m={source}", "--json-output", *options]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stderr=log)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, model_files: dict[str, Path]) -> Iterator[Process]:
    folder = tmp_path_factory.mktemp("served")
    model = folder / "m.bertc"
    shutil.copy(model_files["embedder"], model)
    options = ("--port", "0", "--drain-seconds", "0.3", "--log-requests")
    with run_server(folder, model, *options) as process:
        server = Process(process, folder / "log", model, 0)
        server.port = int(server.wait_for("listening")["address"].rpartition(":")[2])
        server.wait_for("ready")
        yield server


def reply_of(connection: socket.socket) -> tuple[int, bool]:
    """The status of the next reply, whose head and body are read, and whether the connection ends with it."""
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(65536) or pytest.fail("the connection was closed")
    head, _, body = head.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head)
    assert length
    while len(body) < int(length[1]):
        body += connection.recv(65536) or pytest.fail("the connection was closed")
    return int(head.split()[1]), b"connection: close" in head


def status_of(connection: socket.socket) -> int:
    return reply_of(connection)[0]


def test_requests_in_a_row_and_at_once_on_a_connection(running: Process) -> None:
    with running.connect() as connection:
        for _ in range(2):
            connection.sendall(POST + BODY)
            assert status_of(connection) == 200
        connection.sendall(POST)
        time.sleep(0.05)
        connection.sendall(BODY)
        assert status_of(connection) == 200


def test_a_head_without_an_end_is_refused(running: Process) -> None:
    for bomb in (b"x: y\r\n" * 20_000, b"x: " + b"y" * 100_000):
        with running.connect() as connection, contextlib.suppress(ConnectionError):
            connection.sendall(b"GET /health HTTP/1.1\r\n" + bomb)
            assert status_of(connection) == 431
    assert running.get("/health")[0] == 200


def test_what_is_no_http_is_refused(running: Process) -> None:
    with running.connect() as connection:
        connection.sendall(b"\x16\x03\x01 wordthatnobodymaylog\r\n\r\n")
        assert status_of(connection) == 400


def test_who_goes_away_does_no_harm(running: Process) -> None:
    for part in (b"", POST[:20], POST, POST + BODY[:5], POST + BODY):
        with running.connect() as connection:
            connection.sendall(part)
    assert running.get("/health")[0] == 200


def test_a_replaced_file_is_loaded_on_sighup(running: Process) -> None:
    fresh = running.model.with_suffix(".fresh")
    shutil.copy(running.model, fresh)
    fresh.replace(running.model)
    running.process.send_signal(signal.SIGHUP)
    assert running.wait_for("reloaded")["model"] == "m"
    assert running.get("/ready")[0] == 200


def test_sigterm_answers_all_and_ends_with_zero(running: Process) -> None:
    """The last test of this server: clients that ask without a pause lose nothing."""
    answered, lost, stop = [0], [0], threading.Event()

    def ask() -> None:
        connection: socket.socket | None = None
        while not stop.is_set():
            try:
                connection = connection or running.connect()
            except OSError:
                return  # no longer listening: nothing was asked
            try:
                connection.sendall(POST + BODY)
                status, ends = reply_of(connection)
                assert status == 200
                answered[0] += 1
            except (OSError, pytest.fail.Exception):
                lost[0] += 1
                ends = True
            if ends:
                connection.close()
                connection = None
        if connection is not None:
            connection.close()

    clients = [threading.Thread(target=ask) for _ in range(4)]
    for client in clients:
        client.start()
    while answered[0] < 40:
        time.sleep(0.01)
    running.process.send_signal(signal.SIGTERM)
    code = running.process.wait(60)
    stop.set()
    for client in clients:
        client.join()
    assert (code, lost[0]) == (0, 0)
    events = running.events()
    assert [each["event"] for each in events][-1] == "ended"
    requests = [each for each in events if each["event"] == "request"]
    assert len(requests) >= answered[0]
    assert {each["level"] for each in events} == {"info"}
    assert "wordthatnobodymaylog" not in running.log.read_text("utf-8")


def test_a_unix_socket_and_a_port_for_prometheus(tmp_path: Path, model_files: dict[str, Path]) -> None:
    path = tmp_path / "socket"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ("--uds", str(path), "--prometheus-port", str(port), "--api-key", "secret")
    with run_server(tmp_path, model_files["embedder"], *options) as process:
        Process(process, tmp_path / "log", tmp_path, 0).wait_for("ready")
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(path))
            connection.sendall(POST.replace(b"host", b"authorization: Bearer secret\r\nhost") + BODY)
            assert status_of(connection) == 200
        status, text = Process(process, tmp_path / "log", tmp_path, port).get("/metrics")
        assert status == 200
        assert b'te_request_success{method="single"} 1' in text
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert not path.exists()


def test_a_file_that_is_no_model_ends_the_server(tmp_path: Path) -> None:
    bad = tmp_path / "bad.bertc"
    bad.write_bytes(b"no model")
    with run_server(tmp_path, bad, "--port", "0") as process:
        assert process.wait(60) == 1
    assert "cannot load the models" in (tmp_path / "log").read_text("utf-8")
