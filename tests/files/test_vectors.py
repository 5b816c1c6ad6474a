from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from bertc.errors import InputError
from bertc.files.rows import partial_path
from bertc.files.texts import Record
from bertc.files.vectors import WRITERS, vector_writer

RECORDS = [Record(0, "one"), Record("b", 'tw"o\u2028'), Record(2, "")]
VECTORS = np.array([[1 / 3, -0.0], [1e-30, 16777217.0], [np.float32(0.1), 2.5e38]], np.float32)


def write(path: Path, parts: int = 2) -> None:
    with vector_writer(path, 2) as append:
        for indices in np.array_split(np.arange(3), parts):
            append([RECORDS[i] for i in indices], VECTORS[indices])


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_npy(tmp_path: Path, parts: int) -> None:
    write(tmp_path / "a.npy", parts)
    assert np.array_equal(np.load(tmp_path / "a.npy"), VECTORS)


def test_npy_without_a_row(tmp_path: Path) -> None:
    with vector_writer(tmp_path / "a.npy", 7):
        pass
    assert np.load(tmp_path / "a.npy").shape == (0, 7)


def test_json_lines_keep_every_bit(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "a.jsonl").read_bytes().split(b"\n")[:-1]]
    assert [(row["id"], row["text"]) for row in rows] == [record[:2] for record in RECORDS]
    assert np.array_equal(np.array([row["embedding"] for row in rows], np.float32), VECTORS)


def test_parquet(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    write(tmp_path / "a.parquet")
    table = parquet.read_table(tmp_path / "a.parquet")
    assert table.column("id").to_pylist() == ["0", "b", "2"]
    assert table.column("text").to_pylist() == [record.text for record in RECORDS]
    assert np.array_equal(np.array(table.column("embedding").to_pylist(), np.float32), VECTORS)


def test_ids_keep_what_the_format_can_hold(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    ids = [1.5, None, date(2024, 2, 29), [1, "a"], True]
    for name in ("a.parquet", "a.jsonl"):
        with vector_writer(tmp_path / name, 2) as append:
            append([Record(each, "x") for each in ids], np.zeros((5, 2), np.float32))
    found = [json.loads(line)["id"] for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert found == [1.5, None, "2024-02-29", [1, "a"], True]
    found = parquet.read_table(tmp_path / "a.parquet").column("id").to_pylist()
    assert found == ["1.5", None, "2024-02-29", "[1, 'a']", "True"]


def test_lone_surrogates_do_not_stop_a_file(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    for name in ("a.parquet", "a.jsonl"):
        with vector_writer(tmp_path / name, 2) as append:
            append([Record("\ud800", "x\udfffy")], VECTORS[:1])
    assert parquet.read_table(tmp_path / "a.parquet").column("text").to_pylist() == ["x?y"]
    assert json.loads((tmp_path / "a.jsonl").read_text())["text"] == "x\udfffy"


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_failure_leaves_what_was_there(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"before")
    with pytest.raises(KeyError), vector_writer(path, 2) as append:
        append(RECORDS, VECTORS)
        raise KeyError
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", WRITERS)
def test_rows_before_a_wrong_input_are_kept_beside(tmp_path: Path, suffix: str) -> None:
    path, partial = tmp_path / f"a{suffix}", tmp_path / f"a.partial{suffix}"
    path.write_bytes(b"before")
    with pytest.raises(InputError, match="wrong"), vector_writer(path, 2):
        raise InputError("wrong")
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(InputError, match="wrong"), vector_writer(path, 2) as append:
        append(RECORDS[:2], VECTORS[:2])
        raise InputError("wrong")
    assert path.read_bytes() == b"before" and partial_path(path) == partial
    assert set(tmp_path.iterdir()) == {path, partial}
    with vector_writer(tmp_path / f"expected{suffix}", 2) as append:
        append(RECORDS[:2], VECTORS[:2])
    assert partial.read_bytes() == (tmp_path / f"expected{suffix}").read_bytes()


def test_unwritable_destination_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot write .*nowhere/a.npy"):
        write(tmp_path / "nowhere" / "a.npy")
    with pytest.raises(InputError, match=r"cannot write .csv: use .npy"):
        write(tmp_path / "a.csv")
