"""Rows in every format, and what a job made of them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as arrow
import pytest
from pyarrow import dataset, ipc, parquet

import bertc
from bertc.bulk.job import JobSettings, run_job
from bertc.bulk.results import Question
from tests.conftest import MakeArtifact

EMBED = Question("encode")
WORDS = ["the", "cat", "a", "dog", "plays", "one", "two"]
TEXTS = [" ".join(WORDS[(row * 5 + place) % 7] for place in range(row % 9)) for row in range(230)]

RunJob = Callable[..., dict[str, Any]]


@pytest.fixture
def job(artifact: MakeArtifact, tmp_path: Path) -> RunJob:
    """``job(source, folder="out", head="embedding", **settings)``: run a job in shards of 50 rows.

    ``model`` is a file instead of a head.
    """

    def run(
        source: Path | str,
        folder: str = "out",
        *,
        head: str = "embedding",
        model: Path | None = None,
        question: Question = EMBED,
        shard_rows: int = 50,
        **settings: Any,
    ) -> dict[str, Any]:
        encoder = bertc.load(model or artifact(head))
        given = JobSettings(str(source), tmp_path / folder, question, shard_rows=shard_rows, **settings)
        return run_job(encoder, given)

    return run


def write_rows(path: Path, texts: Sequence[str | None] = TEXTS, ids: Sequence[Any] | None = None) -> Path:
    """Write texts to a file of the format of its suffix; ids are row numbers unless they are given."""
    ids = range(len(texts)) if ids is None else ids
    path.parent.mkdir(parents=True, exist_ok=True)
    table = arrow.table({"id": list(ids), "text": arrow.array(texts, arrow.string()), "other": list(ids)})
    if path.suffix == ".parquet":
        parquet.write_table(table, path, row_group_size=25)
    elif path.suffix == ".arrow":
        with ipc.new_file(path, table.schema) as writer:
            writer.write_table(table, max_chunksize=25)
    elif path.suffix == ".jsonl":
        path.write_text("\n".join(json.dumps({"id": i, "text": t}) for i, t in zip(ids, texts, strict=True)))
    else:
        with path.open("w", newline="") as file:
            if path.suffix == ".csv":
                writer = csv.writer(file)
                writer.writerows([("id", "text"), *zip(ids, texts, strict=True)])
            else:
                file.writelines(f"{i}\t{t}\n" for i, t in [("id", "text"), *zip(ids, texts, strict=True)])
    return path


def read_rows(folder: Path) -> dict[Any, Any]:
    """Return all rows of a folder of results, the last column by id. Fails for an id that is there twice."""
    table = dataset.dataset(folder, format="parquet").to_table()
    ids, values = table.column("id").to_pylist(), table.column(table.num_columns - 1).to_pylist()
    assert len(set(ids)) == len(ids)
    return dict(zip(ids, values, strict=True))


def files_of(folder: Path) -> dict[str, bytes]:
    """Return the content of the parquet files of a folder, by name."""
    return {path.name: path.read_bytes() for path in folder.glob("*.parquet")}
