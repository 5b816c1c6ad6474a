"""What a job writes: every row once, in its order, with the numbers that a call gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as arrow
import pytest
from pyarrow import dataset, parquet

import bertc
from bertc.bulk.results import Question
from bertc.runtime.batching import PackedBatch
from bertc.runtime.session import Session
from tests.bulk.conftest import TEXTS, RunJob, files_of, read_rows, write_rows
from tests.conftest import MakeArtifact
from tests.support.artifacts import Artifacts


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".jsonl", ".csv", ".tsv"])
def test_every_format_gives_the_vectors_of_encode_in_order(
    job: RunJob, artifact: MakeArtifact, tmp_path: Path, suffix: str
) -> None:
    counts = job(write_rows(tmp_path / f"rows{suffix}"))
    assert counts["rows"] == len(TEXTS) and counts["shards"] == 5 and counts["rejected"] == 0
    table = dataset.dataset(tmp_path / "out", format="parquet").to_table()
    vectors = table.column("embedding").combine_chunks().flatten().to_numpy().reshape(len(TEXTS), -1)
    assert np.array_equal(vectors, bertc.load(artifact()).encode(TEXTS))
    expected = [f"rows.jsonl#{row}" for row in range(len(TEXTS))] if suffix == ".jsonl" else range(len(TEXTS))
    assert [str(each) for each in table.column("id").to_pylist()] == [str(each) for each in expected]


def test_ids_keep_the_type_of_their_column(job: RunJob, tmp_path: Path) -> None:
    job(write_rows(tmp_path / "rows.parquet"), id_column="other")
    assert dataset.dataset(tmp_path / "out", format="parquet").schema.field("id").type == arrow.int64()


def test_rows_without_ids_are_called_by_file_and_number(job: RunJob, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "in" / name).mkdir(parents=True)
        parquet.write_table(arrow.table({"text": TEXTS[:60]}), tmp_path / "in" / name / "rows.parquet")
    job(tmp_path / "in")
    expected = {f"{name}/rows.parquet#{row}" for name in ("a", "b") for row in range(60)}
    assert read_rows(tmp_path / "out").keys() == expected


def test_a_folder_reads_files_of_all_formats_and_leaves_others(job: RunJob, tmp_path: Path) -> None:
    for number, suffix in enumerate((".parquet", ".csv", ".arrow")):
        ids = [f"{number}:{row}" for row in range(len(TEXTS))]
        write_rows(tmp_path / "in" / f"rows{suffix}", ids=ids)
    (tmp_path / "in" / "README.md").write_text("no rows")
    write_rows(tmp_path / "in" / "_old.parquet")
    assert job(tmp_path / "in")["rows"] == 3 * len(TEXTS)
    assert job(tmp_path / "in" / "*.csv", "out2")["rows"] == len(TEXTS)
    rows, some = read_rows(tmp_path / "out"), read_rows(tmp_path / "out2")
    assert some.items() <= rows.items()


def test_files_of_a_url_are_read_through_fsspec(job: RunJob, tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    memory.pipe("/bulk/in/rows.parquet", write_rows(tmp_path / "rows.parquet").read_bytes())
    try:
        assert job("memory://bulk/in")["rows"] == len(TEXTS)
    finally:
        memory.rm("/bulk", recursive=True)
    job(tmp_path / "rows.parquet", "local")
    assert read_rows(tmp_path / "out") == read_rows(tmp_path / "local")


@pytest.mark.parametrize(
    ("precision", "kind"),
    [
        ("float16", arrow.list_(arrow.float16(), 32)),
        ("uint8", arrow.binary(32)),
        ("binary", arrow.binary(4)),
    ],
)
def test_a_precision_is_a_column_of_fixed_width(
    job: RunJob, artifact: MakeArtifact, tmp_path: Path, precision: str, kind: Any
) -> None:
    job(write_rows(tmp_path / "rows.parquet"), question=Question("encode", {}, precision))
    column = dataset.dataset(tmp_path / "out", format="parquet").to_table().column("embedding")
    assert column.type == kind
    encoder: Any = bertc.load(artifact())
    if precision == "float16":
        assert np.array_equal(np.array(column.to_pylist()), encoder.encode(TEXTS).astype(np.float16))
    else:
        assert column.to_pylist() == [row.tobytes() for row in encoder.encode(TEXTS, precision=precision)]


def test_labels_and_entities_have_columns(job: RunJob, artifact: MakeArtifact, tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.parquet", TEXTS[1:9])
    job(rows, "one", head="classification", question=Question("classify", {"top_k": 1}))
    classifier: Any = bertc.load(artifact("classification"))
    table = dataset.dataset(tmp_path / "one", format="parquet").to_table().select(["label", "score"])
    assert table.to_pylist() == [
        {"label": each["label"], "score": pytest.approx(each["score"])}
        for each in classifier.classify(TEXTS[1:9])
    ]
    job(rows, "all", head="classification", question=Question("classify", {"top_k": None}))
    assert [len(each) for each in read_rows(tmp_path / "all").values()] == [len(classifier.info.labels)] * 8
    job(rows, "tags", head="token_classification", question=Question("tag", {"aggregation_strategy": "none"}))
    expected = bertc.load(artifact("token_classification")).tag(TEXTS[1:9], aggregation_strategy="none")
    found = list(read_rows(tmp_path / "tags").values())
    assert [[each["word"] for each in one] for one in found] == [[e["word"] for e in one] for one in expected]


def test_two_columns_are_pairs(job: RunJob, artifact: MakeArtifact, tmp_path: Path) -> None:
    parquet.write_table(arrow.table({"a": TEXTS[1:9], "b": TEXTS[11:19]}), tmp_path / "rows.parquet")
    question = Question("classify", {"top_k": 1})
    job(tmp_path / "rows.parquet", head="classification", question=question, columns=("a", "b"))
    classifier: Any = bertc.load(artifact("classification"))
    expected = classifier.classify(list(zip(TEXTS[1:9], TEXTS[11:19], strict=True)))
    assert list(read_rows(tmp_path / "out").values()) == pytest.approx([each["score"] for each in expected])


def test_pairs_have_the_scores_of_predict(job: RunJob, artifacts: Artifacts, tmp_path: Path) -> None:
    parquet.write_table(arrow.table({"q": TEXTS[1:9], "text": TEXTS[11:19]}), tmp_path / "rows.parquet")
    reranker = artifacts.tiny("fp32", "classification", id2label={"0": "score"})
    job(tmp_path / "rows.parquet", model=reranker, question=Question("predict"), columns=("q", "text"))
    expected = bertc.load(reranker).predict(list(zip(TEXTS[1:9], TEXTS[11:19], strict=True)))
    assert list(read_rows(tmp_path / "out").values()) == expected.tolist()
    with pytest.raises(bertc.InputError, match="2 labels, reranking is for models of one: use classify"):
        job(tmp_path / "rows.parquet", "two", head="classification", question=Question("predict"))
    for question in (Question("tag"), Question("encode", {}, "float8")):
        with pytest.raises(bertc.InputError, match=r"not tag$|float8") as caught:
            job(tmp_path / "rows.parquet", "two", question=question)
        assert "--resume" not in str(caught.value)
    assert not (tmp_path / "two").exists()  # so that the next try may have that name


def test_a_bound_on_tokens_changes_no_result(
    job: RunJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = write_rows(tmp_path / "rows.parquet")
    job(rows, "one")
    runs: list[int] = []
    run_batch = Session.run_batch

    def count(self: Session, batch: PackedBatch, **options: Any) -> Any:
        runs.append(int(batch.cu_seqlens[-1]))
        return run_batch(self, batch, **options)

    monkeypatch.setattr(Session, "run_batch", count)
    job(rows, "two", batch_tokens=40)
    assert len(runs) > 20 and max(runs) <= 40
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")


def test_a_null_is_null_or_no_row_or_an_error(job: RunJob, tmp_path: Path) -> None:
    texts = [*TEXTS[:70], None, *TEXTS[71:90]]
    rows = write_rows(tmp_path / "rows.parquet", texts)
    assert job(rows, "null")["rows"] == 90
    with_null = read_rows(tmp_path / "null")
    assert with_null[70] is None and None not in [with_null[row] for row in range(90) if row != 70]
    parquet.write_table(arrow.table({"id": [1, 2], "text": arrow.nulls(2)}), tmp_path / "none.parquet")
    assert job(tmp_path / "none.parquet", "none")["rows"] == 2 and read_rows(tmp_path / "none")[2] is None
    counts = job(rows, "skip", on_null="skip")
    assert counts["rows"] == 89 and counts["rejected"] == 1
    assert read_rows(tmp_path / "skip") == {row: vector for row, vector in with_null.items() if row != 70}
    with pytest.raises(
        bertc.InputError, match=r"rows\.parquet, row 70: no text .*1 finished shards are kept in \S+$"
    ):
        job(rows, "error", on_null="error")
