"""Rows of files that are cut into shards, and rows that are wrong."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as arrow
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import ipc, parquet

import bertc
from bertc.bulk import text_files
from bertc.bulk.columnar import cut
from bertc.bulk.formats import FORMATS
from bertc.bulk.shards import plan_shards
from tests.bulk.conftest import TEXTS, RunJob, read_rows, write_rows

CELLS = st.text(st.sampled_from('ab",\n\r é'), max_size=6)


def read_all(path: Path, shard_rows: int) -> list[tuple[str | None, ...]]:
    """Return the rows of a file with columns a and b, shard by shard."""
    rows: list[tuple[str | None, ...]] = []
    for shard in plan_shards(str(path), ("a", "b"), shard_rows=shard_rows):
        assert shard.first_row == len(rows)
        read = FORMATS[path.suffix].read
        for part in read(shard.file, shard.begin, shard.end, shard.first_row, ("a", "b"), None):
            assert not part.rejected and part.rows == list(range(len(rows), len(rows) + len(part.rows)))
            rows += part.texts
        assert len(rows) == shard.first_row + shard.rows
    return rows


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=12), st.integers(1, 5), st.integers(1, 9))
def test_tables_are_cut_between_records_wherever_quotes_are(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], shard_rows: int, block: int
) -> None:
    path = tmp_path_factory.mktemp("table") / "rows.csv"
    text = io.StringIO(newline="")
    csv.writer(text).writerows([("a", "b"), *rows])
    path.write_bytes(text.getvalue().encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_files, "_BLOCK", block)
        assert read_all(path, shard_rows) == rows


@settings(deadline=None)
@given(st.lists(st.integers(0, 30), max_size=12), st.integers(1, 20))
def test_row_groups_are_joined_and_cut(groups: list[int], shard_rows: int) -> None:
    cuts = list(cut(groups, shard_rows))
    assert all(end - begin == rows and 0 < rows <= shard_rows for begin, end, rows in cuts)
    bounds = [0, *(end for _, end, _ in cuts)]
    assert [begin for begin, _, _ in cuts] == bounds[:-1] and bounds[-1] == sum(groups)


def test_rows_that_are_wrong_go_to_a_side_file(job: RunJob, tmp_path: Path) -> None:
    lines = [
        json.dumps({"id": "a", "text": "the cat"}),
        "{no json",
        "",
        json.dumps({"id": "b", "words": "a"}),
        json.dumps({"id": 5, "text": 7}),
        "[" * 100_000,
        json.dumps({"id": "c", "text": None}),
        json.dumps({"id": "d", "text": "dog"}),
    ]
    (tmp_path / "rows.jsonl").write_bytes("\n".join(lines).encode() + b'\n{"id": "e", "text": "\xff"}\n')
    counts = job(tmp_path / "rows.jsonl", id_column="id")
    assert counts["rows"] == 3 and counts["rejected"] == 5
    assert [*read_rows(tmp_path / "out")] == ["a", "c", "d"]
    (side,) = (tmp_path / "out" / "_rejected").iterdir()
    reasons = {row["row"]: row["reason"] for row in map(json.loads, side.read_text().splitlines())}
    assert [*reasons] == [1, 3, 4, 5, 8]
    assert "not JSON" in reasons[1] and reasons[3] == "no 'text'"
    assert "'text' is int" in reasons[4] and "nested" in reasons[5] and "not JSON" in reasons[8]


def test_tables_reject_records_of_another_width(job: RunJob, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes(b"id,text\n1,the cat\n2\n3,a,b\n4,\xff\n5,dog\n")
    assert job(tmp_path / "rows.csv")["rejected"] == 3
    assert [*read_rows(tmp_path / "out")] == ["1", "5"]


def test_text_that_is_not_utf8_is_rejected_from_parquet(job: RunJob, tmp_path: Path) -> None:
    data = arrow.array([b"the cat", b"\xff\xfe", b"dog"], arrow.binary())
    text = arrow.Array.from_buffers(arrow.string(), 3, data.buffers())
    parquet.write_table(arrow.table({"id": ["x", "y", "z"], "text": text}), tmp_path / "rows.parquet")
    assert job(tmp_path / "rows.parquet")["rejected"] == 1
    assert [*read_rows(tmp_path / "out")] == ["x", "z"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.csv", b'id,text\n1,"never closed\n', "a quote is never closed"),
        ("rows.csv", b"", "the first line is empty"),
        (
            "rows.csv",
            b"id,text\r1,a\r2,b\r",
            "line 1: not comma-separated .*, and line feeds at the ends of lines",
        ),
        ("rows.csv", "id,text\n".encode("utf-16"), "line 1: .*: write names of columns in UTF-8"),
        ("rows.csv", b"id,words\n1,a\n", "no column 'text', it has id, words"),
        ("rows.parquet", b"PAR1 no", "the file cannot be read"),
        ("rows.arrow", b"ARROW1 no", "the file cannot be read"),
        ("rows.txt", b"a\n", "cannot read .txt in parts"),
    ],
)
def test_files_that_are_wrong_are_refused_before_any_work(
    job: RunJob, tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(bertc.InputError, match=message):
        job(tmp_path / name)
    assert not (tmp_path / "out").exists()


def test_a_column_that_one_of_many_files_lacks_is_found_first(job: RunJob, tmp_path: Path) -> None:
    for number in range(6):
        write_rows(tmp_path / "in" / f"{number}.parquet", TEXTS[:10])
    parquet.write_table(arrow.table({"body": TEXTS[:10]}), tmp_path / "in" / "6.parquet")
    with pytest.raises(bertc.InputError, match=r"6\.parquet: no column 'text', it has body"):
        job(tmp_path / "in")
    parquet.write_table(arrow.table({"text": [1, 2]}), tmp_path / "in" / "6.parquet")
    with pytest.raises(bertc.InputError, match=r"6\.parquet: the column 'text' is int64, expected strings"):
        job(tmp_path / "in")
    assert not (tmp_path / "out").exists()


def _write(path: Path, columns: list[tuple[str, Any]]) -> Path:
    """Write columns, of any names and types, to an Arrow file."""
    table = arrow.table([array for _, array in columns], names=[name for name, _ in columns])
    with ipc.new_file(path, table.schema) as writer:
        writer.write_table(table)
    return path


def test_columns_of_one_name_and_ids_that_parquet_lacks_are_refused(job: RunJob, tmp_path: Path) -> None:
    text, path = ("text", arrow.array(["the cat"])), tmp_path / "rows.arrow"
    with pytest.raises(bertc.InputError, match=r"rows\.arrow: 2 columns are called 'text': rename one"):
        job(_write(path, [text, text]))
    month = arrow.array([arrow.MonthDayNano([1, 2, 3])])
    with pytest.raises(bertc.InputError, match="is month_day_nano_interval, which parquet cannot hold: name"):
        job(_write(path, [text, ("month", month)]), id_column="month")
    (tmp_path / "rows.csv").write_text("id,text,text\n1,a,b\n")
    with pytest.raises(bertc.InputError, match="2 columns are called 'text'"):
        job(tmp_path / "rows.csv")
    assert not (tmp_path / "out").exists()
    assert job(_write(path, [("id", month), ("id", month), text]))["rows"] == 1
    assert [*read_rows(tmp_path / "out")] == ["rows.arrow#0"]


@pytest.mark.parametrize(
    "kind",
    [
        *(arrow.string_view(), arrow.binary_view(), arrow.large_string()),
        *(arrow.dictionary(arrow.int8(), arrow.string()), arrow.int64()),
    ],
    ids=str,
)
def test_ids_of_any_type_stay_where_rows_are_left_out(job: RunJob, tmp_path: Path, kind: Any) -> None:
    ids = arrow.array([1, 2, 3] if arrow.types.is_integer(kind) else ["é", "b", "c"]).cast(kind)
    job(
        _write(tmp_path / "rows.arrow", [("id", ids), ("text", arrow.array(["a", None, "dog"]))]),
        on_null="skip",
    )
    assert [*read_rows(tmp_path / "out")] == [ids[0].as_py(), ids[2].as_py()]


def test_ids_of_two_kinds_are_refused_where_they_are_asked_for(job: RunJob, tmp_path: Path) -> None:
    write_rows(tmp_path / "in" / "1.parquet", TEXTS[:3])
    write_rows(tmp_path / "in" / "2.csv", TEXTS[:3], ids="abc")
    with pytest.raises(
        bertc.InputError, match=r"2\.csv: the ids in 'id' are strings, those of .*1\.parquet int"
    ):
        job(tmp_path / "in", id_column="id")
    job(tmp_path / "in")
    assert [*read_rows(tmp_path / "out")][::3] == ["1.parquet#0", "2.csv#0"]


def test_names_that_are_no_unicode_are_kept_as_far_as_they_can_be(job: RunJob, tmp_path: Path) -> None:
    lines = [json.dumps({"id": name, "text": "\ud800 the cat"}) for name in ("é\U0001f600", "\ud800")]
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jsonl").write_text("\n".join(lines))
    assert job(tmp_path / "in", id_column="id")["rejected"] == 1
    assert [*read_rows(tmp_path / "out")] == ["é\U0001f600"]
    (tmp_path / "in" / "a.jsonl").rename(os.fsdecode(os.fsencode(tmp_path / "in") + b"/\xff.jsonl"))
    job(tmp_path / "in", "out2")
    assert [*read_rows(tmp_path / "out2")] == ["\\xff.jsonl#0", "\\xff.jsonl#1"]
    long = write_rows(tmp_path / ("\U0001f600" * 60 + ".csv"), TEXTS[:3])  # 244 bytes
    assert job(long, "out3")["rows"] == 3


def test_sources_that_have_no_files_say_so(job: RunJob, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(bertc.InputError, match="no files that end in"):
        job(tmp_path / "empty")
    with pytest.raises(bertc.InputError, match="No such file"):
        job(tmp_path / "absent.parquet")
    with pytest.raises(bertc.InputError, match="no files that end in"):
        job(tmp_path / "*.parquet")
    with pytest.raises(bertc.InputError, match="nowhere://"):
        job("nowhere://rows.parquet")


def test_a_folder_below_that_cannot_be_read_is_not_passed_over(
    job: RunJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", ".b"):
        write_rows(tmp_path / "in" / name / "rows.csv", TEXTS[:3])
    scan = os.scandir

    def refuse(path: Any) -> Any:
        if str(path).endswith("b"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(bertc.InputError, match=r"cannot read .*in/b: Permission denied"):
        job(tmp_path / "in")
