"""Models as functions of tables, outside of an engine and on each that is installed."""

from __future__ import annotations

import pickle
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as arrow
import pytest
from pyarrow import dataset, parquet

import bertc
from bertc.tables import Classify, Embed, Rerank, Tag
from tests.bulk.conftest import TEXTS
from tests.conftest import MakeArtifact
from tests.support.artifacts import Artifacts

ROWS = TEXTS[1:9]
SCALE = Path(__file__).resolve().parent.parent / "docs" / "scale.md"


def vectors_of(table: Any, column: str = "embedding") -> Any:
    return np.array(table.column(column).to_pylist(), np.float32)


def test_vectors_stand_behind_the_other_columns_with_nulls_for_nulls(artifact: MakeArtifact) -> None:
    embed = Embed(artifact(), normalize_embeddings=True)
    table = embed(arrow.table({"text": [*ROWS, None], "id": range(9)}))
    assert table.column_names == ["text", "id", "embedding"]
    assert np.array_equal(
        vectors_of(table.slice(0, 8)), bertc.load(artifact()).encode(ROWS, normalize_embeddings=True)
    )
    assert table.column("embedding")[8].as_py() is None
    assert table.schema.field("embedding").type == arrow.list_(arrow.float32(), 32)


def test_record_batches_stay_batches_alone_and_in_iterators(artifact: MakeArtifact) -> None:
    embed = Embed(artifact(), output="vector", precision="binary")
    batches = [arrow.record_batch({"text": ROWS[:3]}), arrow.record_batch({"text": ROWS[3:]})]
    found = list(embed(iter(batches)))
    whole = embed(batches[0])
    assert whole.schema.field("vector").type == arrow.binary(4)
    assert [each.num_rows for each in found] == [3, 5] and found[0].to_pydict() == whole.to_pydict()
    assert found[0].schema.field("vector").type == arrow.binary()  # Spark knows no other


@pytest.mark.parametrize("loaded", [False, True])
def test_a_copy_loads_the_model_where_it_is_used(
    artifact: MakeArtifact, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, loaded: bool
) -> None:
    monkeypatch.chdir(artifact().parent)
    embed, rows = Embed(artifact().name, num_threads=1), arrow.table({"text": ROWS})
    expected = embed(rows) if loaded else None
    data = pickle.dumps(embed)
    assert len(data) < 1000
    monkeypatch.chdir(tmp_path)
    copy = pickle.loads(data)
    assert copy(rows).equals(expected or Embed(artifact())(rows))


def test_labels_entities_and_scores_are_columns(artifact: MakeArtifact, artifacts: Artifacts) -> None:
    table = arrow.table({"text": ROWS, "query": TEXTS[11:19]})
    labels = Classify(artifact("classification"), pair_column="query")(table)
    pairs = list(zip(ROWS, TEXTS[11:19], strict=True))
    expected = bertc.load(artifact("classification")).classify(pairs)
    assert labels.column("label").to_pylist() == [each["label"] for each in expected]
    renamed = Classify(artifact("classification"), output=("a", "b"))(table)
    assert renamed.column_names[2:] == ["a", "b"]
    entities = Tag(artifact("token_classification"), aggregation_strategy="none")(table)
    found = bertc.load(artifact("token_classification")).tag(ROWS, aggregation_strategy="none")
    words = [[each["word"] for each in one] for one in entities.column("entities").to_pylist()]
    assert words == [[each["word"] for each in one] for one in found]
    reranker = artifacts.tiny("fp32", "classification", id2label={"0": "score"})
    scores = Rerank(reranker)(table).column("score").to_numpy()
    assert np.array_equal(scores, bertc.load(reranker).predict([(query, text) for text, query in pairs]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"column": "body"}, "no column 'body', they have text, id"),
        ({"output": "id"}, "have a column 'id' already: name another as output"),
        ({"output": ("a", "b")}, "output has 2 names for the 1 columns embedding"),
        ({"column": "id"}, r"inputs\[0\] is int"),
    ],
)
def test_columns_that_do_not_fit_are_refused(
    artifact: MakeArtifact, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(bertc.InputError, match=message):
        Embed(artifact(), **options)(arrow.table({"text": ["a"], "id": [1]}))


def test_a_data_frame_of_pandas_keeps_its_index(artifact: MakeArtifact) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"text": ["the cat", None, "dog"]}, index=[5, 7, 9])
    found = Embed(artifact())(frame)
    assert list(found.index) == [5, 7, 9] and found.embedding.isna().tolist() == [False, True, False]
    assert np.array_equal(found.embedding[9], bertc.load(artifact()).encode("dog"))


@contextmanager
def small(engine: str) -> Iterator[None]:
    """An engine that takes no more of the machine than it needs, and leaves nothing behind."""
    if engine == "ray":
        import ray

        ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
        try:
            yield
        finally:
            ray.shutdown()
    elif engine == "pyspark":
        from pyspark.sql import SparkSession

        spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
        try:
            yield
        finally:
            spark.stop()
    else:
        yield


@pytest.mark.parametrize("engine", ["pyspark", "dask", "daft", "ray"])
def test_the_example_of_an_engine_writes_the_vectors_of_encode(
    engine: str, artifact: MakeArtifact, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip(engine)
    blocks = re.findall(r"^```python\n(.*?)^```", SCALE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    (example,) = (block for block in blocks if re.search(rf"\bimport {engine}\b|\bfrom {engine}\b", block))
    parquet.write_table(arrow.table({"id": range(8), "text": ROWS}), tmp_path / "rows.parquet")
    (tmp_path / "minilm.bertc").symlink_to(artifact())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    monkeypatch.setenv("RAY_worker_niceness", "0")  # or a busy machine starves them
    with warnings.catch_warnings(), small(engine):
        warnings.simplefilter("ignore")  # of the engines
        exec(example, {"__name__": "example"})
    table = dataset.dataset(tmp_path / "vectors", format="parquet").to_table().sort_by("id")
    assert np.array_equal(vectors_of(table), bertc.load(artifact()).encode(ROWS))
