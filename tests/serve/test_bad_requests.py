"""What cannot be answered gets the right 4xx and a body that helps, and leaves nothing in the log."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.serve.conftest import MakeServer
    from tests.support.serving import Reply, Server

pytest.importorskip("msgspec", reason='the extra "serve" is not installed')

SECRET = "wordthatnobodymaylog"
LONG = "dog " * 100
"""More tokens than the models take, 64."""

BODIES: dict[str, tuple[str, Any, int, str]] = {
    "no JSON": ("/embed", b"{", 400, "BadRequest"),
    "nothing": ("/embed", b"", 400, "BadRequest"),
    "no UTF-8": ("/embed", b'{"inputs": "\xff\xfe"}', 400, "BadRequest"),
    "half a surrogate pair": ("/predict", b'{"inputs": "\\ud800"}', 400, "BadRequest"),
    "deeply nested": ("/embed", b'{"inputs":' + b"[" * 90_000 + b"]" * 90_000 + b"}", 422, "Unprocessable"),
    "deeply nested elsewhere": ("/embed", b'{"x":' + b"[" * 90_000 + b"]" * 90_000 + b"}", 400, "BadRequest"),
    "a list": ("/embed", [1, 2], 422, "Unprocessable"),
    "a missing field": ("/embed", {"input": "a"}, 422, "Unprocessable"),
    "a wrong type": ("/embed", {"inputs": {"a": SECRET}}, 422, "Unprocessable"),
    "a float": ("/embed", {"inputs": [1.5]}, 422, "Unprocessable"),
    "null": ("/embed", {"inputs": None}, 422, "Unprocessable"),
    "a mix": ("/embed", {"inputs": ["a", 1]}, 422, "Unprocessable"),
    "a direction that is none": (
        "/embed",
        {"inputs": "a", "truncation_direction": SECRET},
        422,
        "Unprocessable",
    ),
    "a prompt that is none": ("/embed", {"inputs": "a", "prompt_name": SECRET}, 422, "Unprocessable"),
    "dimensions that are none": ("/embed", {"inputs": "a", "dimensions": 0}, 422, "Unprocessable"),
    "too many dimensions": ("/embed", {"inputs": "a", "dimensions": 33}, 413, "Validation"),
    "no text": ("/embed", {"inputs": ""}, 400, "Empty"),
    "no texts": ("/embed", {"inputs": []}, 400, "Empty"),
    "no text among texts": ("/embed", {"inputs": ["a", ""]}, 400, "Empty"),
    "no ids": ("/embed", {"inputs": [[]]}, 400, "Empty"),
    "an id beyond the vocabulary": ("/embed", {"inputs": [[5, 300]]}, 422, "Tokenizer"),
    "a negative id": ("/embed", {"inputs": [-1]}, 422, "Tokenizer"),
    "an id of very many digits": ("/embed", b'{"inputs": [' + b"9" * 400 + b"]}", 422, "Tokenizer"),
    "too many ids": ("/embed", {"inputs": [5] * 65}, 413, "Validation"),
    "a text that is too long": ("/embed", {"inputs": [f"{SECRET} {LONG}"]}, 413, "Validation"),
    "too many texts": ("/embed", {"inputs": ["a"] * 10_000}, 413, "Validation"),
    "too many bytes": ("/embed", {"inputs": "a" * 300_000}, 413, "PayloadTooLarge"),
    "a model for something else": ("/embed", {"inputs": "a", "model": "tagger"}, 424, "Backend"),
    "a task that no model has": ("/embed_sparse", {"inputs": "a"}, 424, "Backend"),
    "a model that is none of several": ("/predict", {"inputs": "a", "model": SECRET}, 404, "NotFound"),
    "three texts for a pair": ("/predict", {"inputs": ["a", "b", "c"]}, 422, "Unprocessable"),
    "no text to predict": ("/predict", {"inputs": []}, 400, "Empty"),
    "no query": ("/rerank", {"query": "", "texts": ["a"]}, 400, "Empty"),
    "no documents": ("/rerank", {"query": "a"}, 422, "Unprocessable"),
    "an empty list of documents": ("/rerank", {"query": "a", "texts": []}, 400, "Empty"),
    "a document that is none": ("/rerank", {"query": "a", "documents": [{"txt": "a"}]}, 422, "Unprocessable"),
    "no sentences": ("/similarity", {"inputs": {"source_sentence": "a", "sentences": []}}, 400, "Empty"),
    "no text to tokenize": ("/tokenize", {"inputs": []}, 400, "Empty"),
    "ids that are no tokens": ("/decode", {"ids": [-5]}, 422, "Tokenizer"),
    "ids of both kinds": ("/decode", {"ids": [5, [5]]}, 422, "Unprocessable"),
    "words and texts": ("/tag", {"inputs": ["a", ["b"]]}, 422, "Unprocessable"),
    "a stride beyond the limit": ("/tag", {"inputs": "a", "stride": 100}, 422, "Unprocessable"),
    "questions without contexts": (
        "/answer",
        {"question": ["a", "b"], "context": ["c"]},
        422,
        "Unprocessable",
    ),
    "a question of spaces": ("/answer", {"question": " ", "context": "c"}, 400, "Empty"),
    "no mask": ("/fill_mask", {"inputs": f"{SECRET} dog"}, 422, "Unprocessable"),
    "a format of Python's": (
        "/classify",
        {"inputs": "a", "candidate_labels": ["b"], "hypothesis_template": "{:>999999999}"},
        422,
        "Unprocessable",
    ),
    "labels without a model for them": (
        "/classify",
        {"inputs": "a", "candidate_labels": ["b"]},
        424,
        "Backend",
    ),
}


@pytest.mark.parametrize("case", BODIES)
def test_a_body_that_cannot_be_answered(server: Server, case: str) -> None:
    path, body, status, error_type = BODIES[case]
    reply = server.post(path, body)
    assert (reply.status, reply.json.get("error_type")) == (status, error_type), reply.body
    assert len(reply.json["error"]) > 15
    assert SECRET not in server.log.getvalue()
    assert server.state.engine.admission.tokens == server.state.engine.admission.requests == 0


@pytest.mark.parametrize(("path", "field"), [("/v1/embeddings", "input"), ("/embeddings", "input")])
def test_errors_on_routes_of_openai_have_its_form(server: Server, path: str, field: str) -> None:
    reply = server.post(path, {field: [LONG]})
    assert reply.status == 413
    error = reply.json["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["code"]) == ("invalid_request_error", "validation")
    assert server.post(path, {}).json["error"]["code"] == "unprocessable"


def test_routes_and_methods_that_are_none(server: Server) -> None:
    assert server.get(f"/{SECRET}").status == server.post(f"/embed/{SECRET}", {}).status == 404
    for method, path, allowed in (
        ("GET", "/embed", "POST"),
        ("DELETE", "/health", "GET"),
        ("POST", "/docs", "GET"),
    ):
        reply = server.request(method, path, b"")
        assert (reply.status, reply.headers["allow"]) == (405, allowed)
    assert server.request("HEAD", "/health", b"").body == b""
    assert SECRET not in server.log.getvalue()


def test_bodies_that_are_no_json(server: Server) -> None:
    text = b'{"inputs": "a"}'
    for headers in ({"content-type": "text/plain"}, {"content-encoding": "gzip"}):
        assert server.post("/embed", text, **headers).status == 415
    for kind in ("application/json; charset=utf-8", "application/vnd.api+json"):
        assert server.post("/embed", text, **{"content-type": kind}).status == 200
    assert server.request("POST", "/embed", text).status == 200


def test_a_body_in_pieces_is_one(server: Server) -> None:
    whole = server.post("/embed", {"inputs": "a dog"})
    pieces = server.request("POST", "/embed", [b'{"inputs": ', b'"a d', b'og"}'])
    assert pieces.body == whole.body
    assert server.request("POST", "/embed", [b"x" * 150_000, b"y" * 150_000]).status == 413


def test_a_length_above_the_limit_is_refused_unread(server: Server) -> None:
    reply = server.request("POST", "/embed", [], {"content-length": "200001"})
    assert reply.status == 413


def test_a_body_that_never_ends_is_given_up(make_server: MakeServer) -> None:
    from tests.support.serving import exchange

    server = make_server("embedder", body_timeout=0.05)
    reply: Reply = server.call(exchange(server.application, "POST", "/embed", [b"{"], {}, hangs=True))
    assert (reply.status, reply.json["error_type"]) == (408, "RequestTimeout")
    assert reply.headers["connection"] == "close"


def test_without_a_route_for_a_task_the_models_are_named(server: Server) -> None:
    reply = server.post("/embed_sparse", {"inputs": "a"})
    assert "embedder (embedding)" in reply.json["error"]


def test_one_model_answers_under_any_name(server: Server) -> None:
    """Clients of a server with one model must name some model or other."""
    assert (
        server.post("/v1/embeddings", {"input": "a", "model": "text-embedding-3"}).json["model"] == "embedder"
    )


def test_a_bug_is_told_without_the_text(make_server: MakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server = make_server("embedder")

    def fail(_self: object, items: Any, **_: object) -> None:
        raise KeyError(items[0])

    monkeypatch.setattr("bertc.tasks.embedding.Embedding.prepare", fail)
    reply = server.post("/embed", {"inputs": SECRET})
    assert (reply.status, reply.json["error_type"]) == (500, "Internal")
    assert "KeyError" in server.log.getvalue()
    assert SECRET not in server.log.getvalue()
    assert SECRET not in reply.body.decode()
    assert server.state.engine.admission.requests == 0


def test_numbers_that_are_none_are_refused(make_server: MakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    server = make_server("embedder")
    submit = server.state.engine.queue.submit
    spoil = {"with": np.nan}

    def spoiled(*arguments: Any) -> Any:
        def end(*facts: Any) -> None:
            values[0] = spoil["with"]
            arguments[-1](*facts)

        number, values = submit(*arguments[:-1], end)
        return number, values

    monkeypatch.setattr(server.state.engine.queue, "submit", spoiled)
    for value in (np.nan, np.inf, 0.0):
        spoil["with"] = value
        for inputs in ("a dog", ["a dog", "a cat"]):
            reply = server.post("/embed", {"inputs": inputs})
            assert (reply.status, reply.json["error_type"]) == (424, "Backend")


def test_a_client_that_goes_away_takes_its_work_along(make_server: MakeServer) -> None:
    server = make_server("embedder")
    state = server.state

    async def scenario() -> int:
        sent = []
        gone = asyncio.Event()
        body = [b'{"inputs": ["a dog"]}']

        async def receive() -> dict[str, Any]:
            if body:
                return {"type": "http.request", "body": body.pop(), "more_body": False}
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        charge = await state.engine.admission.enter(1)
        state.engine.admission.max_requests = 1  # so that the request waits for room
        scope = {"type": "http", "method": "POST", "path": "/embed", "headers": []}
        request = asyncio.ensure_future(server.application(scope, receive, send))
        await asyncio.sleep(0.1)
        assert state.engine.admission.waiting == 1
        gone.set()
        await request
        assert state.engine.admission.waiting == 0
        state.engine.admission.leave(charge)
        return len(sent)

    assert server.call(scenario()) == 0
    assert state.metrics.total("te_request_failure", err="disconnected") == 1
    assert state.engine.admission.requests == 0
