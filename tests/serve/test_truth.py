"""One rule of truncation on every route, reported; keys, origins, health; what drain and reload do."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("msgspec", reason='the extra "serve" is not installed')

import bertc

if TYPE_CHECKING:
    from tests.serve.conftest import MakeServer
    from tests.support.serving import Server

LONG = "dog " * 70 + "london"
"""More tokens than the models take, 64."""

ROUTES: dict[str, Any] = {
    "/embed": {"inputs": LONG},
    "/embed_all": {"inputs": LONG},
    "/predict": {"inputs": LONG},
    "/rerank": {"query": "a", "texts": [LONG]},
    "/similarity_matrix": {"inputs": ["a", LONG]},
    "/classify": {"inputs": LONG},
    "/fill_mask": {"inputs": f"[MASK] {LONG}"},
}


@pytest.mark.parametrize("path", ROUTES)
def test_what_is_too_long_is_cut_only_if_that_is_wanted(server: Server, path: str) -> None:
    body = ROUTES[path]
    for wanted in (body, {**body, "truncate": False}):
        reply = server.post(path, wanted)
        assert (reply.status, reply.json["error_type"]) == (413, "Validation")
        assert "truncate" in reply.json["error"]
    cut = server.post(path, {**body, "truncate": True})
    assert (cut.status, cut.headers["x-truncated-inputs"]) == (200, "1")


def test_auto_truncate_is_the_default_that_a_request_can_change(make_server: MakeServer) -> None:
    server = make_server("embedder", auto_truncate=True)
    reply = server.post("/v1/embeddings", {"input": ["a", LONG]})
    assert (reply.status, reply.headers["x-truncated-inputs"]) == (200, "1")
    assert reply.json["usage"]["prompt_tokens"] == 3 + 64
    assert server.post("/embed", {"inputs": LONG, "truncate": False}).status == 413


def test_texts_and_ids_are_cut_on_the_side_that_is_named(
    server: Server, model_files: dict[str, Path]
) -> None:
    embedder = bertc.load(model_files["embedder"], num_threads=1)
    (right,) = server.post("/embed", {"inputs": LONG, "truncate": True}).json
    np.testing.assert_array_equal(
        np.array(right, np.float32), embedder.encode("dog " * 62, normalize_embeddings=True)
    )
    options = {"truncate": True, "truncation_direction": "Left"}
    (left,) = server.post("/embed", {"inputs": LONG, **options}).json
    end = embedder.encode("dog " * 61 + "london", normalize_embeddings=True)
    np.testing.assert_array_equal(np.array(left, np.float32), end)
    ids = [5] * 10 + [7] * 64
    assert (
        server.post("/embed", {"inputs": ids, **options}).json
        == server.post("/embed", {"inputs": [7] * 64}).json
    )


def test_a_key_is_asked_for_on_all_but_health_routes(make_server: MakeServer) -> None:
    server = make_server("embedder", api_key="secret")
    for path in ("/info", "/metrics", "/v1/models", "/certificates", "/docs", "/nothing", "/page/nothing"):
        reply = server.get(path)
        assert (reply.status, reply.headers["www-authenticate"]) == (401, "Bearer")
        assert server.get(path, authorization="Bearer wrong").status == 401
        assert server.get(path, authorization="secret").status == 401
    assert server.post("/embed", {"inputs": "a"}).json["error_type"] == "Unauthorized"
    assert server.post("/v1/embeddings", {"input": "a"}).json["error"]["type"] == "authentication_error"
    assert server.post("/embed", {"inputs": "a"}, authorization="Bearer secret").status == 200
    assert server.post("/embed", {"inputs": "a"}, authorization="bearer secret").status == 200
    assert server.get("/health").status == server.get("/ready").status == 200
    assert server.get("/").status == server.get("/page/main.js").status == 200  # where a key is entered


def test_other_origins_are_let_in_only_if_named(server: Server, make_server: MakeServer) -> None:
    assert "access-control-allow-origin" not in server.get("/health", origin="http://a").headers
    assert server.request("OPTIONS", "/embed", b"", {"origin": "http://a"}).status == 405
    named = make_server("embedder", cors_allow_origin=("http://a",))
    assert named.get("/health", origin="http://a").headers["access-control-allow-origin"] == "http://a"
    assert "access-control-allow-origin" not in named.get("/health", origin="http://b").headers
    preflight = named.request("OPTIONS", "/embed", b"", {"origin": "http://a"})
    assert (preflight.status, preflight.headers["access-control-allow-methods"]) == (204, "GET, POST")


def test_a_model_that_gives_no_numbers_makes_the_server_unhealthy(
    make_server: MakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = make_server("embedder", "tagger")
    run = server.state.engine.queue.run

    async def spoiled(*arguments: Any, **options: Any) -> Any:
        values, times = await run(*arguments, **options)
        return values * np.float32(np.nan), times

    monkeypatch.setattr(server.state.engine.queue, "run", spoiled)
    server.call(server.state.health.look())
    for path in ("/health", "/ready"):
        reply = server.get(path)
        assert (reply.status, reply.json["error_type"]) == (503, "Unhealthy")
        assert "embedder" in reply.json["error"]
    monkeypatch.undo()
    server.call(server.state.health.look())
    assert server.get("/health").status == 200


def test_a_batch_that_never_ends_makes_the_server_unhealthy(
    make_server: MakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = make_server("embedder")
    load = server.state.engine.queue.load()
    monkeypatch.setattr(server.state.engine.queue, "load", lambda: {**load, "running_ns": 31 * 10**9})
    assert server.get("/health").status == 503


def test_a_tiny_inference_that_never_comes_back_makes_the_server_unhealthy(
    make_server: MakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = make_server("embedder")
    server.call(server.state.health.stop())  # that of the beginning may still be on its way

    async def hangs(*_: Any, **__: Any) -> None:
        await asyncio.sleep(3600)

    monkeypatch.setattr(server.state.engine.queue, "run", hangs)
    monkeypatch.setattr("bertc.serve.health.INTERVAL", 0.0)
    assert server.get("/health").status == 200  # as the last one said; the next is on its way
    monkeypatch.setattr("bertc.serve.health.STUCK_SECONDS", 0.0)
    assert server.get("/health").status == 503


def test_draining_turns_new_clients_away_and_answers_what_is_asked(make_server: MakeServer) -> None:
    server = make_server("embedder", drain_seconds=0.0)
    charge = server.call(server.state.engine.admission.enter(1))

    async def begin() -> asyncio.Task[None]:
        return asyncio.ensure_future(server.lifecycle.drain())

    async def finished(task: asyncio.Task[None]) -> bool:
        await asyncio.sleep(0.1)
        return task.done()

    task = server.call(begin())
    assert not server.call(finished(task))
    assert server.get("/ready").status == 503
    reply = server.post("/embed", {"inputs": "a"})
    assert (reply.status, reply.headers["connection"]) == (200, "close")

    async def leave() -> None:
        server.state.engine.admission.leave(charge)
        await task

    server.call(leave())


def test_a_replaced_file_is_loaded_and_a_bad_one_is_not(
    make_server: MakeServer, model_files: dict[str, Path], tmp_path: Path
) -> None:
    path = tmp_path / "served.bertc"
    shutil.copy(model_files["classifier"], path)
    server = make_server("classifier")
    from bertc.serve.models import load_model
    from bertc.serve.settings import ModelSource

    server.state.registry.put(load_model(ModelSource("classifier", str(path)), 1))
    before = server.post("/predict", {"inputs": "a dog"}).json
    server.call(server.lifecycle.reload())
    assert server.state.metrics.total("bertc_reloads", model="classifier") == 0  # nothing was replaced

    def replace(source: Path | bytes) -> None:
        fresh = tmp_path / "fresh"
        fresh.write_bytes(source if isinstance(source, bytes) else source.read_bytes())
        fresh.replace(path)
        server.call(server.lifecycle.reload())

    for bad in (b"no model at all", model_files["tagger"]):
        replace(bad)
        assert server.post("/predict", {"inputs": "a dog"}).json == before
        assert "stays in use" in server.log.getvalue()
    replace(model_files["reranker"])
    assert server.state.metrics.total("bertc_reloads", model="classifier") == 1
    assert [each["label"] for each in server.post("/predict", {"inputs": "a dog"}).json] == ["LABEL_0"]


def test_a_file_that_was_written_to_is_told(
    make_server: MakeServer, model_files: dict[str, Path], tmp_path: Path
) -> None:
    from bertc.serve.models import load_model
    from bertc.serve.settings import ModelSource

    path = tmp_path / "served.bertc"
    shutil.copy(model_files["embedder"], path)
    server = make_server("embedder")
    server.state.registry.put(load_model(ModelSource("embedder", str(path)), 1))
    os.utime(path, (1, 1))
    reply = server.post("/embed", {"inputs": "a"})
    assert (reply.status, reply.json["error_type"]) == (424, "Backend")
