"""Texts per second through other libraries, with a compiled model and with the same model in PyTorch.

``python benchmarks/integrations.py --embedder FILE FOLDER [--reranker FILE FOLDER] [--ner FILE FOLDER]
--data sts-test.csv [--rows 2000]``

FILE is compiled of the checkpoint in FOLDER. Both do the same work in the same place: what a library does
with vectors is timed too. In PyTorch that is sentence-transformers, which LangChain's, LlamaIndex's,
Haystack's and LanceDB's own classes for such models run, and for entities the pipeline of ``transformers``.
The table says which library is not installed.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

from markdown_tables import table

import bertc
from bertc.evaluation import sts
from bertc.sentence_transformers import CrossEncoder, SentenceTransformer

ROUNDS = 3
Work = Callable[[list[str]], object]
Models = tuple[str, Any, str]
"""The compiled file, the model in PyTorch, and the folder of its checkpoint."""


def encode(models: Models) -> tuple[Work, Work]:
    """Call ``encode`` of both classes."""
    return SentenceTransformer(models[0]).encode, models[1].encode


def rank(models: Models) -> tuple[Work, Work]:
    """Call ``rank`` of both classes."""
    ours = CrossEncoder(models[0])
    return lambda texts: ours.rank(texts[0], texts), lambda texts: models[1].rank(texts[0], texts)


def sklearn(models: Models) -> tuple[Work, Work]:
    """Transform texts."""
    from bertc.sklearn import BertcVectorizer

    ours = BertcVectorizer(models[0]).fit()
    return ours.transform, _in_place(ours, models).transform


def duckdb(models: Models) -> tuple[Work, Work]:
    """Make a table of vectors in SQL."""
    import duckdb
    import pyarrow as arrow

    from bertc.duckdb import register

    con: Any = duckdb.connect()
    encoder = bertc.load(models[0])
    register(con, encoder)

    def theirs(column: Any) -> Any:
        return arrow.array(list(models[1].encode(column.to_pylist())), arrow.list_(arrow.float32()))

    con.create_function("torch_embed", theirs, ["VARCHAR"], "FLOAT[]", type="arrow")

    def work(function: str) -> Work:
        def run(texts: list[str]) -> object:
            con.register("rows", arrow.table({"text": texts}))
            return con.execute(f"create or replace table vectors as select {function}(text) as v from rows")

        return run

    return work("embed"), work("torch_embed")


def langchain(models: Models) -> tuple[Work, Work]:
    """Add texts to the store in memory."""
    from langchain_core.vectorstores import InMemoryVectorStore

    from bertc.langchain import BertcEmbeddings

    ours = BertcEmbeddings(models[0])
    theirs = _in_place(ours, models)
    return (
        lambda texts: InMemoryVectorStore(ours).add_texts(texts),
        lambda texts: InMemoryVectorStore(theirs).add_texts(texts),
    )


def llama_index(models: Models) -> tuple[Work, Work]:
    """Embed texts in batches."""
    from bertc.llama_index import BertcEmbedding

    ours = BertcEmbedding(model=models[0])
    return ours.get_text_embedding_batch, _in_place(ours, models).get_text_embedding_batch


def haystack(models: Models) -> tuple[Work, Work]:
    """Embed documents."""
    from haystack import Document

    from bertc.haystack import BertcDocumentEmbedder

    ours = BertcDocumentEmbedder(models[0])
    theirs = _in_place(ours, models)
    return (
        lambda texts: ours.run([Document(content=text) for text in texts]),
        lambda texts: theirs.run([Document(content=text) for text in texts]),
    )


def lancedb(models: Models) -> tuple[Work, Work]:
    """Add texts to a table on disk, which makes its function anew by what it has stored of it."""
    import lancedb
    import pyarrow as arrow
    from lancedb.embeddings import EmbeddingFunctionConfig, get_registry

    from bertc.lancedb import BertcEmbeddings

    def work(function: Any) -> Work:
        config = EmbeddingFunctionConfig(vector_column="vector", source_column="text", function=function)
        vectors = arrow.list_(arrow.float32(), function.ndims())
        schema = arrow.schema({"text": arrow.string(), "vector": vectors})

        def run(texts: list[str]) -> object:
            with tempfile.TemporaryDirectory() as folder:
                rows = lancedb.connect(folder).create_table(
                    "rows", schema=schema, embedding_functions=[config]
                )
                return rows.add([{"text": text} for text in texts])

        return run

    own = get_registry().get("sentence-transformers")
    return work(BertcEmbeddings.create(name=models[0])), work(own.create(name=models[2]))


def spacy(models: Models) -> tuple[Work, Work]:
    """Set the entities of documents; the pipeline of transformers finds them alone."""
    import spacy

    import bertc.spacy  # noqa: F401 (registers the component)

    nlp = spacy.blank("en")
    nlp.add_pipe("bertc_ner", config={"model": models[0]})
    return lambda texts: list(nlp.pipe(texts)), lambda texts: models[1](texts, batch_size=32)


CASES: Mapping[str, tuple[str, Callable[[Models], tuple[Work, Work]]]] = {
    "sentence-transformers, `encode`": ("embedder", encode),
    "scikit-learn, `transform`": ("embedder", sklearn),
    "DuckDB, a table of vectors": ("embedder", duckdb),
    "LangChain, `add_texts`": ("embedder", langchain),
    "LlamaIndex, `get_text_embedding_batch`": ("embedder", llama_index),
    "Haystack, documents": ("embedder", haystack),
    "LanceDB, a table on disk": ("embedder", lancedb),
    "sentence-transformers, `rank`": ("reranker", rank),
    "spaCy, entities": ("ner", spacy),
}
"""The rows of the table: which models they need, and what makes their work."""


def _in_place(adapter: Any, models: Models) -> Any:
    """Return a copy of an adapter that holds the model of PyTorch."""
    twin = copy.copy(adapter)
    twin._handle = SimpleNamespace(model=models[1])
    return twin


def _torch_model(kind: str, folder: str) -> Any:
    if kind == "ner":
        from transformers import pipeline

        return pipeline("token-classification", model=folder, aggregation_strategy="simple", device="cpu")
    import sentence_transformers

    name = "SentenceTransformer" if kind == "embedder" else "CrossEncoder"
    return getattr(sentence_transformers, name)(folder, device="cpu")


def measure(works: tuple[Work, Work], texts: list[str]) -> list[float]:
    """Return the texts per second of both, medians of rounds in turns."""
    seconds: list[list[float]] = [[], []]
    for work in works:
        work(texts[:64])
    for _ in range(ROUNDS):
        for found, work in zip(seconds, works, strict=True):
            start = time.perf_counter()
            work(texts)
            found.append(time.perf_counter() - start)
    return [len(texts) / median(each) for each in seconds]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--embedder", nargs=2, required=True, metavar=("FILE", "FOLDER"))
    parser.add_argument("--reranker", nargs=2, metavar=("FILE", "FOLDER"))
    parser.add_argument("--ner", nargs=2, metavar=("FILE", "FOLDER"))
    parser.add_argument("--data", type=Path, required=True, help="a file of the STS benchmark")
    parser.add_argument("--rows", type=int, default=2000)
    arguments = vars(parser.parse_args())
    texts = [text for pair in sts.read(arguments["data"]) for text in (pair.first, pair.second)]
    texts = (texts * (arguments["rows"] // len(texts) + 1))[: arguments["rows"]]
    given = {kind: arguments[kind] for kind in ("embedder", "reranker", "ner") if arguments[kind]}
    models = {kind: (file, _torch_model(kind, folder), folder) for kind, (file, folder) in given.items()}
    print(*table(["texts/s", "bertc", "PyTorch", "times"], []), sep="\n")
    for name, (kind, make) in CASES.items():
        if kind in models:
            try:
                ours, theirs = measure(make(models[kind]), texts)
            except ImportError as error:
                cells = [name, f"({error})", "", ""]
            else:
                cells = [name, f"{ours:,.0f}", f"{theirs:,.0f}", f"{ours / theirs:.1f}"]
            print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
