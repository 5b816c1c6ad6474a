"""Clients that people have, from PyPI, against a running server; a test skips where its client is absent."""

from __future__ import annotations

import importlib
import json
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("uvicorn", reason='the extra "serve" is not installed')

import bertc

TEXTS = ["the man plays guitar", "a dog", "john smith lives in london"]
QUERY = "a man"

# Clients of several makers, whose own code and dependencies warn of this and that.
pytestmark = pytest.mark.filterwarnings("ignore")


def client(module: str) -> Any:
    return pytest.importorskip(module, reason=f"the client {module} is not installed")


@pytest.fixture(scope="module")
def vectors(model_files: dict[str, Path]) -> Any:
    embedder: Any = bertc.load(model_files["embedder"], num_threads=1)
    return embedder.encode(TEXTS, normalize_embeddings=True)


@pytest.fixture(scope="module")
def ranked(model_files: dict[str, Path]) -> list[tuple[int, float]]:
    reranker: Any = bertc.load(model_files["reranker"], num_threads=1)
    return [(each["corpus_id"], pytest.approx(each["score"])) for each in reranker.rank(QUERY, TEXTS)]


def same(found: Any, expected: Any) -> None:
    np.testing.assert_array_equal(np.array(found, np.float32), expected)


def test_openai(url: str, vectors: Any) -> None:
    openai = client("openai")
    with openai.OpenAI(base_url=f"{url}/v1", api_key="k") as api:
        reply = api.embeddings.create(model="embedder", input=TEXTS)
        same([each.embedding for each in reply.data], vectors)
        assert reply.usage.total_tokens > 0
        assert "reranker" in {each.id for each in api.models.list()}
        with pytest.raises(openai.APIStatusError) as refused:
            api.embeddings.create(model="embedder", input="")
        assert refused.value.status_code == 400
    with (
        openai.OpenAI(base_url=f"{url}/v1", api_key="wrong") as api,
        pytest.raises(openai.AuthenticationError),
    ):
        api.embeddings.create(model="embedder", input=TEXTS)


def test_langchain_openai(url: str, vectors: Any) -> None:
    module = client("langchain_openai")
    api = module.OpenAIEmbeddings(
        model="embedder", base_url=f"{url}/v1", api_key="k", check_embedding_ctx_length=False
    )
    same(api.embed_documents(TEXTS), vectors)
    same(api.embed_query(TEXTS[0]), vectors[0])


def test_huggingface_hub(url: str, vectors: Any) -> None:
    hub = client("huggingface_hub")
    with hub.InferenceClient(base_url=url, api_key="k") as api:
        same(api.feature_extraction(TEXTS[0], normalize=True, truncate=True), vectors[:1])


def test_cohere(url: str, ranked: list[tuple[int, float]]) -> None:
    cohere = client("cohere")
    with client("httpx").Client() as connections:
        api = cohere.ClientV2("k", base_url=url, httpx_client=connections)
        reply = api.rerank(model="reranker", query=QUERY, documents=TEXTS)
    assert [(each.index, each.relevance_score) for each in reply.results] == ranked


@pytest.fixture
def litellm(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else it asks the internet for prices
    return client("litellm")


@pytest.mark.parametrize(
    ("provider", "place"), [("infinity", "/infinity"), ("hosted_vllm", ""), ("huggingface", "")]
)
def test_rerank_of_litellm(
    url: str, ranked: list[tuple[int, float]], litellm: Any, provider: str, place: str
) -> None:
    reply = litellm.rerank(
        model=f"{provider}/reranker", query=QUERY, documents=TEXTS, api_base=f"{url}{place}", api_key="k"
    )
    assert [(each["index"], each["relevance_score"]) for each in reply.results] == ranked
    assert [each["document"]["text"] for each in reply.results] == [TEXTS[index] for index, _ in ranked]


def test_embedding_of_litellm(url: str, vectors: Any, litellm: Any) -> None:
    reply = litellm.embedding(model="openai/embedder", input=TEXTS, api_base=f"{url}/v1", api_key="k")
    same([each["embedding"] for each in reply.data], vectors)


def test_haystack(url: str, vectors: Any) -> None:
    client("haystack")
    embedders = importlib.import_module("haystack.components.embedders")
    secret = importlib.import_module("haystack.utils").Secret.from_token("k")
    api = embedders.OpenAITextEmbedder(api_key=secret, model="embedder", api_base_url=f"{url}/v1")
    same(api.run(TEXTS[0])["embedding"], vectors[0])


def test_llama_index(url: str, vectors: Any) -> None:
    module = client("llama_index.embeddings.text_embeddings_inference")
    api = module.TextEmbeddingsInference(model_name="embedder", base_url=url, auth_token="k")
    same(api.get_text_embedding_batch(TEXTS), vectors)


def test_no_answer_of_the_openapi_file_is_a_500(url: str) -> None:
    """A few bodies for each route, made from the file that describes them."""
    schemathesis = client("schemathesis")
    document = json.loads(
        urllib.request.urlopen(
            urllib.request.Request(f"{url}/openapi.json", headers={"authorization": "Bearer k"})
        ).read()
    )
    from hypothesis import HealthCheck, Phase, given, settings

    schema = schemathesis.openapi.from_dict(document)
    for result in schema.get_all_operations():
        operation = result.ok()

        @given(operation.as_strategy())
        @settings(
            max_examples=10,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def check(case: Any) -> None:
            reply = case.call(base_url=url, headers={"authorization": "Bearer k"})
            assert reply.status_code < 500, (case.path, case.body, reply.content)

        check()
