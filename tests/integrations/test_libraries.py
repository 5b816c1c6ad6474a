"""What the adapters give other libraries is what the model gives; they are copied and written down."""

from __future__ import annotations

import importlib
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bertc
from bertc.errors import InputError, MissingExtraError
from tests.conftest import MakeArtifact
from tests.support.answers import make_info

pytestmark = pytest.mark.filterwarnings("ignore")  # of the libraries

TEXTS = ["the cat", "a good film", "one two three four", "hello world"]


@pytest.fixture
def vectors(models: Path) -> Any:
    return bertc.load(models / "minilm.bertc").encode(TEXTS)


@pytest.fixture
def order(models: Path) -> list[str]:
    """The texts by the score of the reranker for "a film"."""
    ranked = bertc.load(models / "reranker.bertc").rank("a film", TEXTS)
    return [TEXTS[row["corpus_id"]] for row in ranked]


@pytest.mark.parametrize(
    ("module", "package", "extra"),
    [
        ("haystack", "haystack", "haystack"),
        ("lancedb", "lancedb", "lancedb"),
        ("langchain", "langchain_core", "langchain"),
        ("llama_index", "llama_index", "llama-index"),
        ("sklearn", "sklearn", "sklearn"),
        ("spacy", "spacy", "spacy"),
    ],
)
def test_a_missing_library_names_its_extra(
    module: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, f"bertc.{module}", raising=False)
    for name in [package, *(name for name in sys.modules if name.startswith(f"{package}."))]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=rf"bertc\[{extra}\]"):
        importlib.import_module(f"bertc.{module}")


def test_a_vectorizer_is_a_transformer_of_scikit_learn(models: Path, vectors: Any) -> None:
    base = pytest.importorskip("sklearn.base")
    from sklearn.compose import ColumnTransformer
    from sklearn.exceptions import NotFittedError

    from bertc.sklearn import BertcVectorizer

    vectorizer = BertcVectorizer(models / "minilm.bertc", truncate_dim=8)
    with pytest.raises(NotFittedError):
        vectorizer.transform(TEXTS)
    assert np.array_equal(vectorizer.fit_transform(TEXTS), vectors[:, :8])
    assert vectorizer.get_feature_names_out().tolist() == [f"bertcvectorizer{index}" for index in range(8)]
    twin = pickle.loads(pickle.dumps(vectorizer))
    assert np.array_equal(twin.transform(np.array(TEXTS)), vectors[:, :8])
    clone = base.clone(vectorizer).set_params(truncate_dim=None, normalize_embeddings=True)
    lengths = np.linalg.norm(clone.fit_transform(TEXTS), axis=1)
    assert lengths == pytest.approx(np.ones(4)) and not hasattr(base.clone(clone), "_n_features_out")
    loaded = BertcVectorizer(bertc.load(models / "minilm.bertc"))
    assert np.array_equal(base.clone(loaded).fit_transform(TEXTS), vectors)
    table = np.array([TEXTS, TEXTS], object).T
    columns = ColumnTransformer([("first", vectorizer, 0), ("second", vectorizer, 1)])
    assert columns.fit_transform(table).shape == (4, 16)
    with pytest.raises(InputError, match=r"2 dimensions: expected a list or one column"):
        vectorizer.transform(table)
    with pytest.raises(InputError, match=r"0 dimensions: expected a list"):
        vectorizer.transform("the cat")
    with pytest.raises(InputError, match="expected one for embedding"):
        BertcVectorizer(models / "ner.bertc").fit(TEXTS)


def test_functions_of_duckdb_answer_as_models_do(
    models: Path, vectors: Any, order: list[str], artifact: MakeArtifact
) -> None:
    duckdb = pytest.importorskip("duckdb")
    from bertc.duckdb import register

    con = duckdb.connect()
    assert [register(con, models / f"{name}.bertc") for name in ("minilm", "reranker", "ner")] == [
        "embed",
        "rerank",
        "tag",
    ]
    con.execute("create table rows (id integer, text varchar)")
    con.executemany("insert into rows values (?, ?)", [*enumerate(TEXTS), (4, None)])
    found = con.sql("select embed(text), text from rows order by id")
    assert str(found.types[0]) == "FLOAT[32]"
    answers = [row[0] for row in found.fetchall()]
    assert answers[4] is None and np.array_equal(np.array(answers[:4], np.float32), vectors)
    many = con.sql("select count(distinct embed(text || '')) from rows, range(1500) where id < 4")
    assert many.fetchall() == [(4,)]
    ranked = con.sql("select text from rows where id < 4 order by rerank('a film', text) desc").fetchall()
    assert [text for (text,) in ranked] == order
    ((tagged,),) = con.sql("select tag('John Smith lives in Paris')").fetchall()
    expected = bertc.load("ner.bertc").tag("John Smith lives in Paris")
    assert [each["entity_group"] for each in tagged] == [each["entity_group"] for each in expected]
    register(con, bertc.load("minilm.bertc"), "short", truncate_dim=4, normalize_embeddings=True)
    assert str(con.sql("select short('the cat')").types[0]) == "FLOAT[4]"
    classifier = bertc.load(artifact("classification"))
    register(con, classifier)
    ((answer,),) = con.sql("select classify('a good film')").fetchall()
    assert answer == pytest.approx(classifier.classify("a good film"))
    with pytest.raises(InputError, match="is a model for masked_lm: expected embedding, classification"):
        register(con, type(classifier)(classifier.session, classifier.tokenizer, make_info("masked_lm")))


def test_embeddings_and_reranker_of_langchain(models: Path, vectors: Any, order: list[str]) -> None:
    documents = pytest.importorskip("langchain_core.documents")
    from langchain_core.embeddings import Embeddings

    from bertc.langchain import BertcEmbeddings, BertcReranker

    embeddings = pickle.loads(pickle.dumps(BertcEmbeddings(models / "minilm.bertc", num_threads=1)))
    assert isinstance(embeddings, Embeddings)
    assert np.array_equal(np.array(embeddings.embed_documents(TEXTS), np.float32), vectors)
    assert np.array_equal(np.array(embeddings.embed_query(TEXTS[0]), np.float32), vectors[0])
    given = [documents.Document(text, metadata={"place": place}) for place, text in enumerate(TEXTS)]
    found = BertcReranker(model=bertc.load("reranker.bertc"), top_n=2).compress_documents(given, "a film")
    assert [each.page_content for each in found] == order[:2]
    assert set(found[0].metadata) == {"place", "relevance_score"} and given[0].metadata == {"place": 0}


def test_embedding_and_postprocessor_of_llama_index(models: Path, vectors: Any, order: list[str]) -> None:
    schema = pytest.importorskip("llama_index.core.schema")
    from bertc.llama_index import BertcEmbedding, BertcRerank

    embedding = BertcEmbedding(model=str(models / "minilm.bertc"))
    twin = BertcEmbedding.from_dict(embedding.to_dict())
    assert np.array_equal(np.array(twin.get_text_embedding_batch(TEXTS), np.float32), vectors)
    assert np.array_equal(np.array(twin.get_query_embedding(TEXTS[0]), np.float32), vectors[0])
    nodes = [schema.NodeWithScore(node=schema.TextNode(text=text), score=0.5) for text in TEXTS]
    rerank = BertcRerank(model="reranker.bertc", top_n=3)
    assert [each.node.text for each in rerank.postprocess_nodes(nodes, query_str="a film")] == order[:3]
    with pytest.raises(InputError, match="needs the query"):
        rerank.postprocess_nodes(nodes)


def test_components_of_haystack(models: Path, vectors: Any, order: list[str]) -> None:
    haystack = pytest.importorskip("haystack")
    from bertc.haystack import BertcDocumentEmbedder, BertcRanker, BertcTextEmbedder

    pipeline = haystack.Pipeline()
    pipeline.add_component("documents", BertcDocumentEmbedder(models / "minilm.bertc", 1, ["title"]))
    pipeline.add_component("query", BertcTextEmbedder(models / "minilm.bertc"))
    pipeline.add_component("ranker", BertcRanker(models / "reranker.bertc", top_k=2))
    pipeline = haystack.Pipeline.loads(pipeline.dumps(), allowed_modules=["bertc.haystack"])
    documents = [haystack.Document(content=text) for text in TEXTS]
    titled = haystack.Document(content="cat", meta={"title": "the"})
    found = pipeline.run(
        {
            "documents": {"documents": [*documents, titled]},
            "query": {"text": TEXTS[0]},
            "ranker": {"query": "a film", "documents": documents},
        }
    )
    embedded = np.array([each.embedding for each in found["documents"]["documents"]], np.float32)
    assert np.array_equal(embedded, vectors[[0, 1, 2, 3, 0]])
    assert np.array_equal(np.array(found["query"]["embedding"], np.float32), vectors[0])
    assert [each.content for each in found["ranker"]["documents"]] == order[:2]


def test_a_table_of_lancedb_knows_its_function(models: Path, vectors: Any) -> None:
    lancedb = pytest.importorskip("lancedb")
    from lancedb.embeddings import get_registry
    from lancedb.pydantic import LanceModel, Vector

    import bertc.lancedb

    function: Any = get_registry().get("bertc").create(name=str(models / "minilm.bertc"))
    assert type(function) is bertc.lancedb.BertcEmbeddings

    class Row(LanceModel):
        text: str = function.SourceField()
        vector: Vector(function.ndims()) = function.VectorField()

    database = lancedb.connect(models / "lance")
    database.create_table("rows", schema=Row).add([{"text": text} for text in TEXTS])
    table = lancedb.connect(models / "lance").open_table("rows")
    rows = table.to_arrow()
    assert np.array_equal(np.array(rows["vector"].to_pylist(), np.float32), vectors)
    assert table.search(TEXTS[2]).limit(1).to_list()[0]["text"] == TEXTS[2]


def test_a_component_of_spacy_sets_entities(models: Path, tmp_path: Path) -> None:
    spacy = pytest.importorskip("spacy")
    import bertc.spacy

    nlp = spacy.blank("en")
    nlp.add_pipe("bertc_ner", config={"model": str(models / "ner.bertc"), "aggregation_strategy": "first"})
    nlp.to_disk(tmp_path / "pipeline")
    texts = ["John Smith lives in Paris.", "", "the sky is blue"]
    expected = bertc.load("ner.bertc").tag(texts, aggregation_strategy="first")
    docs = list(spacy.load(tmp_path / "pipeline").pipe(texts, batch_size=2))
    assert sum(map(len, expected)) > 0
    for doc, entities in zip(docs, expected, strict=True):
        assert {each.label_ for each in doc.ents} <= {each["entity_group"] for each in entities}
        assert bool(doc.ents) == bool(entities)
    assert [each.text for each in nlp(texts[0]).ents] == [each.text for each in docs[0].ents]
    with pytest.raises(InputError, match="gives tokens, no entities"):
        bertc.spacy.EntityRecognizer("ner.bertc", "none")


def test_bertopic_takes_our_class(models: Path) -> None:
    bertopic = pytest.importorskip("bertopic")
    from bertopic.backend._utils import select_backend
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA

    from bertc.sentence_transformers import SentenceTransformer

    model = SentenceTransformer(models / "minilm.bertc")
    assert np.array_equal(select_backend(model).embed(TEXTS), model.encode(TEXTS))
    topics = bertopic.BERTopic(
        embedding_model=model, umap_model=PCA(2), hdbscan_model=KMeans(2, random_state=0)
    )
    found, _ = topics.fit_transform([f"{text} {other}" for text in TEXTS for other in TEXTS])
    assert set(found) == {0, 1}


def test_mteb_takes_our_classes(models: Path, tmp_path: Path) -> None:
    mteb: Any = pytest.importorskip("mteb")
    tasks: Any = pytest.importorskip("mteb.mocks.mock_tasks")
    from bertc.sentence_transformers import CrossEncoder, SentenceTransformer

    for model, task in (
        (SentenceTransformer(models / "minilm.bertc"), tasks.MockSTSTask()),
        (CrossEncoder(models / "reranker.bertc"), tasks.MockRerankingTask()),
    ):
        result = mteb.evaluate(model, task, cache=None, prediction_folder=tmp_path)
        assert result.model_name.startswith("bertc/")
        assert -1 <= result.task_results[0].get_score() <= 1


def test_setfit_trains_a_head_on_our_class(models: Path) -> None:
    setfit = pytest.importorskip("setfit")
    from sklearn.linear_model import LogisticRegression

    from bertc.sentence_transformers import SentenceTransformer

    model = setfit.SetFitModel(
        model_body=SentenceTransformer(models / "minilm.bertc"), model_head=LogisticRegression(C=1e6)
    )
    model.fit(TEXTS, [0, 1, 0, 1], num_epochs=1)
    assert list(model.predict(TEXTS)) == [0, 1, 0, 1] and str(model.device) == "cpu"
