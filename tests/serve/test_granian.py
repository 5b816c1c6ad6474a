"""The same application on another server of ASGI; skips where Granian is absent."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import urllib.request
from pathlib import Path

import pytest

pytest.importorskip("msgspec", reason='the extra "serve" is not installed')
embed = pytest.importorskip("granian.server.embed", reason="granian is not installed")


def test_the_application_runs_on_granian(model_files: dict[str, Path]) -> None:
    from bertc.serve.lifecycle import Lifecycle
    from bertc.serve.settings import ModelSource, Settings
    from bertc.serve.state import State

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    loaded = threading.Event()

    def ask() -> tuple[int, int]:
        assert loaded.wait(60)
        url = f"http://127.0.0.1:{port}/embed"
        body = json.dumps({"inputs": ["a dog"] * 3}).encode()
        headers = {"content-type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as reply:
            return reply.status, len(json.loads(reply.read()))

    async def serve() -> tuple[int, int]:
        state = State(Settings((ModelSource("m", str(model_files["embedder"])),), num_threads=1))
        lifecycle = Lifecycle(state, loaded.set, lambda: None)
        server = embed.Server(lifecycle.application(), port=port, interface="asgi")
        running = asyncio.ensure_future(server.serve())
        try:
            return await asyncio.to_thread(ask)
        finally:
            server.stop()
            await running

    assert asyncio.run(serve()) == (200, 3)
