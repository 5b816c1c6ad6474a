"""What each route takes and gives: the shapes of text-embeddings-inference, OpenAI, Jina, Cohere, and ours.

Numbers are those of the library's own methods, bit for bit.
"""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import bertc

if TYPE_CHECKING:
    from tests.support.serving import Server

pytest.importorskip("msgspec", reason='the extra "serve" is not installed')

TEXTS = ["the man plays guitar", "a dog", "john smith lives in london"]


@pytest.fixture(scope="module")
def models(model_files: dict[str, Path]) -> dict[str, Any]:
    return {name: bertc.load(path, num_threads=1) for name, path in model_files.items()}


def ok(server: Server, path: str, body: Any) -> Any:
    reply = server.post(path, body)
    assert reply.status == 200, reply.body
    return reply.json


def same(found: Any, expected: Any) -> None:
    np.testing.assert_array_equal(np.array(found, np.float32), expected)


@pytest.mark.parametrize("path", ["/embed", "/"])
def test_embed(server: Server, models: dict[str, Any], path: str) -> None:
    expected = models["embedder"].encode(TEXTS, normalize_embeddings=True)
    same(ok(server, path, {"inputs": TEXTS, "truncate": True}), expected)
    same(ok(server, path, {"inputs": TEXTS[0]}), expected[:1])
    same(ok(server, path, {"inputs": TEXTS, "normalize": False}), models["embedder"].encode(TEXTS))
    short = models["embedder"].encode(TEXTS, normalize_embeddings=True, truncate_dim=8)
    same(ok(server, path, {"inputs": TEXTS, "dimensions": 8}), short)


def test_embed_takes_token_ids_as_they_are(server: Server, models: dict[str, Any]) -> None:
    ids = [models["embedder"].tokenizer([text]).packed.inputs["input_ids"].tolist() for text in TEXTS]
    expected = models["embedder"].encode(TEXTS, normalize_embeddings=True)
    same(ok(server, "/embed", {"inputs": ids}), expected)
    same(ok(server, "/embed", {"inputs": ids[1]}), expected[1:2])
    same([each["embedding"] for each in ok(server, "/v1/embeddings", {"input": ids})["data"]], expected)


def test_embed_all_gives_the_vectors_of_tokens(server: Server, models: dict[str, Any]) -> None:
    expected = models["embedder"].encode(TEXTS, output_value="token_embeddings")
    found = ok(server, "/embed_all", {"inputs": TEXTS})
    assert len(found) == len(TEXTS)
    for rows, row in zip(found, expected, strict=True):
        same(rows, row)


@pytest.mark.parametrize("path", ["/v1/embeddings", "/embeddings"])
def test_openai_embeddings(server: Server, models: dict[str, Any], path: str) -> None:
    expected = models["embedder"].encode(TEXTS, normalize_embeddings=True)
    found = ok(server, path, {"input": TEXTS, "model": "x", "encoding_format": "base64", "user": "u"})
    vectors = [np.frombuffer(base64.b64decode(each["embedding"]), "<f4") for each in found["data"]]
    same(vectors, expected)
    tokens = models["embedder"].count_tokens(TEXTS).tokens
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    assert {**found, "data": None} == {"object": "list", "data": None, "model": "embedder", "usage": usage}
    assert [(each["object"], each["index"]) for each in found["data"]] == [
        ("embedding", index) for index in range(3)
    ]
    floats = ok(server, path, {"input": TEXTS[0], "model": "embedder", "dimensions": 4})
    same(
        floats["data"][0]["embedding"],
        models["embedder"].encode(TEXTS[0], normalize_embeddings=True, truncate_dim=4),
    )


def test_predict_gives_all_labels_best_first(server: Server, models: dict[str, Any]) -> None:
    classifier = models["classifier"]
    expected = classifier.classify(TEXTS, top_k=None)
    found = ok(server, "/predict", {"inputs": [[text] for text in TEXTS], "model": "classifier"})
    assert [[each["label"] for each in row] for row in found] == [
        [e["label"] for e in row] for row in expected
    ]
    same([[each["score"] for each in row] for row in found], [[e["score"] for e in row] for row in expected])
    single = ok(server, "/predict", {"inputs": TEXTS[0], "model": "classifier"})
    assert single == found[0]
    pair = ok(server, "/predict", {"inputs": TEXTS[:2], "model": "classifier", "raw_scores": True})
    logits = classifier.classify((TEXTS[0], TEXTS[1]), top_k=None, function_to_apply="none")
    same([each["score"] for each in pair], [each["score"] for each in logits])


def test_rerank_as_text_embeddings_inference(server: Server, models: dict[str, Any]) -> None:
    ranked = models["reranker"].rank("a man", TEXTS)
    body = {
        "query": "a man",
        "texts": TEXTS,
        "raw_scores": False,
        "truncate": False,
        "truncation_direction": "Right",
        "return_text": True,
    }
    found = ok(server, "/rerank", body)
    assert [each["index"] for each in found] == [each["corpus_id"] for each in ranked]
    same([each["score"] for each in found], [each["score"] for each in ranked])
    assert [each["text"] for each in found] == [TEXTS[each["index"]] for each in found]
    bare = ok(server, "/rerank", {"query": "a man", "texts": TEXTS})
    assert all(set(each) == {"index", "score"} for each in bare)
    raw = ok(server, "/rerank", {"query": "a man", "texts": TEXTS, "raw_scores": True})
    logits = models["reranker"].rank("a man", TEXTS, activation_fn="none")
    same([each["score"] for each in raw], [each["score"] for each in logits])


@pytest.mark.parametrize("path", ["/rerank", "/v1/rerank", "/v2/rerank"])
def test_rerank_as_jina_and_cohere(server: Server, models: dict[str, Any], path: str) -> None:
    ranked = models["reranker"].rank("a man", TEXTS)
    body = {"query": "a man", "documents": TEXTS, "model": "reranker", "return_documents": True, "top_n": 2}
    found = ok(server, path, body)
    assert set(found) == {"id", "model", "results", "usage", "meta"}
    assert [each["index"] for each in found["results"]] == [each["corpus_id"] for each in ranked[:2]]
    same([each["relevance_score"] for each in found["results"]], [each["score"] for each in ranked[:2]])
    assert [each["document"]["text"] for each in found["results"]] == [
        TEXTS[each["index"]] for each in found["results"]
    ]
    objects = ok(server, path, {"query": "a man", "documents": [{"text": text} for text in TEXTS]})
    assert [each["index"] for each in objects["results"]] == [each["corpus_id"] for each in ranked]
    assert "document" not in objects["results"][0]
    texts = ok(server, "/infinity/rerank", body)["results"]
    assert [each["document"] for each in texts] == [each["document"]["text"] for each in found["results"]]
    assert "document" not in ok(server, "/infinity/rerank", {"query": "a", "documents": ["b"]})["results"][0]
    assert (
        found["usage"]["total_tokens"]
        == models["reranker"].count_tokens([("a man", text) for text in TEXTS]).tokens
    )


def test_similarity(server: Server, models: dict[str, Any]) -> None:
    vectors = models["embedder"].encode(TEXTS)
    expected = models["embedder"].similarity(vectors, vectors)
    body = {"inputs": {"source_sentence": TEXTS[0], "sentences": TEXTS[1:]}, "parameters": {"truncate": True}}
    np.testing.assert_allclose(ok(server, "/similarity", body), expected[0, 1:], rtol=0, atol=1e-6)
    matrix = ok(server, "/similarity_matrix", {"inputs": TEXTS})
    np.testing.assert_allclose(matrix, expected, rtol=0, atol=1e-6)
    others = ok(server, "/similarity_matrix", {"inputs": TEXTS[:2], "others": TEXTS[2:]})
    np.testing.assert_allclose(others, expected[:2, 2:], rtol=0, atol=1e-6)


def test_tokenize_and_decode(server: Server, models: dict[str, Any]) -> None:
    (tokens,) = ok(server, "/tokenize", {"inputs": "The Dog", "model": "embedder"})
    assert tokens == [
        {"id": 2, "text": "[CLS]", "special": True, "start": None, "stop": None},
        {"id": tokens[1]["id"], "text": "The", "special": False, "start": 0, "stop": 3},
        {"id": tokens[2]["id"], "text": "Dog", "special": False, "start": 4, "stop": 7},
        {"id": 3, "text": "[SEP]", "special": True, "start": None, "stop": None},
    ]
    ids = [each["id"] for each in tokens]
    assert ids == models["embedder"].tokenizer(["The Dog"]).encodings[0].ids
    bare = ok(server, "/tokenize", {"inputs": ["The Dog", "a"], "add_special_tokens": False})
    assert [len(each) for each in bare] == [2, 1]
    assert ok(server, "/decode", {"ids": ids}) == ["the dog"]
    assert ok(server, "/decode", {"ids": [ids, ids[:2]], "skip_special_tokens": False}) == [
        "[CLS] the dog [SEP]",
        "[CLS] the",
    ]
    assert len(ok(server, "/tokenize", {"inputs": "dog " * 1000})[0]) == 1002  # nothing is cut


def test_classify(server: Server, models: dict[str, Any]) -> None:
    found = ok(server, "/classify", {"inputs": TEXTS, "model": "classifier"})
    expected = models["classifier"].classify(TEXTS)
    assert found == [{**each, "score": pytest.approx(each["score"], abs=1e-7)} for each in expected]
    single = ok(server, "/classify", {"inputs": TEXTS[0], "top_k": 2, "function_to_apply": "sigmoid"})
    assert [each["label"] for each in single] == [
        each["label"]
        for each in models["classifier"].classify(TEXTS[0], top_k=2, function_to_apply="sigmoid")
    ]


def test_tag(server: Server, models: dict[str, Any]) -> None:
    long = " ".join(TEXTS * 20)
    assert ok(server, "/tag", {"inputs": [*TEXTS, long]}) == models["tagger"].tag([*TEXTS, long])
    options = {"aggregation_strategy": "none", "ignore_labels": []}
    assert ok(server, "/tag", {"inputs": TEXTS[0], **options}) == models["tagger"].tag(TEXTS[0], **options)
    words = [["john", "smith"], ["london"]]
    assert ok(server, "/tag", {"inputs": words}) == models["tagger"].tag(words)


def test_answer(server: Server, models: dict[str, Any]) -> None:
    question, context = "who lives in london?", "john smith lives in london. " * 30
    assert ok(server, "/answer", {"question": question, "context": context}) == models["answerer"].answer(
        question, context
    )
    several = ok(server, "/answer", {"question": question, "context": [context, TEXTS[0]], "top_k": 2})
    assert several == models["answerer"].answer(question, [context, TEXTS[0]], top_k=2)


def test_fill_mask(server: Server, models: dict[str, Any]) -> None:
    texts = ["the [MASK] plays", "the [MASK] is [MASK]"]
    assert ok(server, "/fill_mask", {"inputs": texts, "top_k": 3}) == models["filler"].fill_mask(
        texts, top_k=3
    )
    assert ok(server, "/fill_mask", {"inputs": texts[0]}) == models["filler"].fill_mask(texts[0])


def test_models_and_info(server: Server, model_files: dict[str, Path]) -> None:
    listed = server.get("/v1/models").json
    assert listed["object"] == "list"
    assert [each["id"] for each in listed["data"]] == list(model_files)
    assert {each["object"] for each in listed["data"]} == {"model"}
    info = server.get("/info").json
    assert info["model_type"] == {"embedding": {"pooling": "mean"}}
    assert (info["model_dtype"], info["max_input_length"], info["max_client_batch_size"]) == ("fp32", 64, 64)
    assert info["certificate"] == bertc.load(model_files["embedder"]).artifact.certificate.summary
    kinds = {each["name"]: next(iter(each["model_type"])) for each in info["models"]}
    assert (kinds["reranker"], kinds["classifier"]) == ("reranker", "classifier")


def test_health_ready_and_metrics(server: Server) -> None:
    assert server.get("/health").status == server.get("/ready").status == 200
    before = server.state.metrics.total("te_request_success", method="batch")
    ok(server, "/embed", {"inputs": TEXTS})
    text = server.get("/metrics").body.decode()
    assert f'te_request_success{{method="batch"}} {before + 1}\n' in text
    assert 'te_request_duration_bucket{le="+Inf"}' in text
    assert "\nte_queue_size " in text  # /health may have put its tiny inferences there
    assert "bertc_requests_in_flight 1\n" in text  # this one


def test_replies_say_what_they_took(server: Server) -> None:
    reply = server.post("/embed", {"inputs": TEXTS}, **{"x-request-id": "mine-1"})
    assert reply.headers["x-request-id"] == "mine-1"
    assert reply.headers["x-compute-tokens"] == str(
        sum(len(each) for each in ok(server, "/tokenize", {"inputs": TEXTS}))
    )
    assert reply.headers["x-compute-characters"] == str(sum(map(len, TEXTS)))
    assert reply.headers["x-truncated-inputs"] == "0"
    times = [
        float(reply.headers[f"x-{each}-time"]) for each in ("tokenization", "queue", "inference", "total")
    ]
    assert times[3] >= max(times[:3]) >= min(times) >= 0


def test_documents_list_every_route(server: Server) -> None:
    document = server.get("/openapi.json").json
    assert document["openapi"].startswith("3.1")
    assert {"/embed", "/v1/embeddings", "/rerank", "/health"} <= set(document["paths"])
    page = server.get("/docs")
    assert all(path in page.body.decode() for path in document["paths"])
    assert "http" not in page.body.decode().replace("http-equiv", "")
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert re.findall(r"<(?:script|style)|https?:", page.body.decode()) == []


def test_the_page_and_its_files(server: Server) -> None:
    page = server.get("/")
    text = page.body.decode()
    names = {name for kind in ("href", "src") for name in re.findall(rf'{kind}="(page/[\w.]+)"', text)}
    assert {"page/main.js", "page/style.css", "page/icon.svg"} <= names
    while names:
        name = names.pop()
        reply = server.get(f"/{name}")
        assert reply.status == 200
        if name.endswith(".js"):
            assert reply.headers["content-type"] == "text/javascript; charset=utf-8"
            names |= {f"page/{other}" for other in re.findall(r'from "\./(\w+\.js)"', reply.body.decode())}
    assert re.findall(r"<(?:script>|style)|\bstyle=|\bon\w+=|https?:", text) == []
    assert "script-src 'self'; style-src 'self'" in page.headers["content-security-policy"]
    assert server.post("/page/main.js", {}).status == 405


def test_certificates(server: Server, model_files: dict[str, Path]) -> None:
    found = server.get("/certificates").json["models"]
    assert [each["name"] for each in found] == list(model_files)
    expected = bertc.load(model_files["embedder"]).artifact.certificate
    assert found[0]["summary"] == expected.summary
    assert found[0]["certificate"] == json.loads(json.dumps(expected.to_json_value()))
