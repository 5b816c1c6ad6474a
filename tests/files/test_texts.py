from __future__ import annotations

import csv
import gzip
import io
import json
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from bertc.errors import InputError
from bertc.files import texts
from bertc.files.texts import Record, read_texts, slices


def write(tmp_path: Path, name: str, content: str) -> Path:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    return path


def write_parquet(tmp_path: Path, columns: dict[str, list[Any]]) -> Path:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "texts.parquet"
    parquet.write_table(arrow.table(columns), path)
    return path


def test_a_text_per_line_blank_ones_too(tmp_path: Path) -> None:
    path = write(tmp_path, "a.txt", "one\n\nthree\n")
    assert list(read_texts(path)) == [Record(0, "one"), Record(1, ""), Record(2, "three")]


def test_json_lines_hold_strings_or_objects(tmp_path: Path) -> None:
    lines = [json.dumps(value) for value in ("one", {"text": "two", "id": "b"}, {"id": 7, "text": ""})]
    path = write(tmp_path, "a.jsonl", "\n".join([*lines[:2], "", lines[2]]))
    assert list(read_texts(path)) == [Record(0, "one"), Record("b", "two"), Record(7, "")]
    path = write(tmp_path, "b.jsonl", '{"body": "x"}')
    assert list(read_texts(path, column="body")) == [Record(0, "x")]


def test_tables_have_a_header_unless_the_column_is_a_number(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", 'id,text\n7,"one, ""two""\nthree"\n\n8,four\n')
    assert list(read_texts(path)) == [Record("7", 'one, "two"\nthree'), Record("8", "four")]
    path = write(tmp_path, "a.tsv", 'label\tsentence\n1\t"one\n0\ttwo "\n')
    assert list(read_texts(path, column="sentence")) == [Record(0, '"one'), Record(1, 'two "')]
    path = write(tmp_path, "a.csv", "x\tone\ttwo\textra\nx\tthree\tfour\n")
    assert list(read_texts(path, column="1", pair_column="2", kind=".tsv")) == [
        Record(0, "one", "two"),
        Record(1, "three", "four"),
    ]


def test_pairs_come_from_two_columns(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", '{"question": "a", "answer": "b"}')
    assert list(read_texts(path, column="question", pair_column="answer")) == [Record(0, "a", "b")]
    with pytest.raises(InputError, match="line 1: no 'other', expected a string"):
        list(read_texts(path, column="question", pair_column="other"))
    path = write_parquet(tmp_path, {"question": ["a"], "answer": ["b"]})
    assert list(read_texts(path, column="question", pair_column="answer")) == [Record(0, "a", "b")]
    with pytest.raises(InputError, match="no column 'other', it has question, answer"):
        list(read_texts(path, column="question", pair_column="other"))


def test_parquet_columns(tmp_path: Path) -> None:
    path = write_parquet(tmp_path, {"id": ["a", "b"], "text": ["one", "two"], "n": [1, 2]})
    assert list(read_texts(path)) == [Record("a", "one"), Record("b", "two")]
    path = write_parquet(tmp_path, {"body": ["one", "two"]})
    assert list(read_texts(path, column="body")) == [Record(0, "one"), Record(1, "two")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '"x"\n{"text"', "a.jsonl, line 2: not JSON"),
        ("a.jsonl", "3", "line 1: 'text' is int"),
        ("a.jsonl", '{"body": "x"}', "line 1: no 'text'"),
        ("a.doc", "x", r"cannot read .doc: use .txt, .jsonl, .csv, .tsv, .parquet"),
        ("a.csv", "body,id\nx,1\n", "a.csv: no column 'text', it has body, id"),
        ("a.csv", 'text\n"x" y\n', "a.csv, line 2: not comma-separated .* by tabs are .tsv"),
        ("a.csv", "id,text\n1,x\n2\n", "a.csv, line 3: no 'text'"),
        ("a.tsv", "", "a.tsv: no column 'text', it has "),
        ("a", "x", "a file without suffix"),
        ("a.parquet", "x", "cannot read .*a.parquet"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        list(read_texts(write(tmp_path, name, content)))


def test_bad_parquet_columns_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no column 'text', it has body"):
        list(read_texts(write_parquet(tmp_path, {"body": ["x"]})))
    with pytest.raises(InputError, match="row 1: 'text' is NoneType"):
        list(read_texts(write_parquet(tmp_path, {"text": ["x", None]})))


def test_any_id_is_carried(tmp_path: Path) -> None:
    lines = ['{"id": 1.5, "text": "x"}', '{"id": null, "text": "x"}', '{"id": NaN, "text": "x"}']
    path = write(tmp_path, "a.jsonl", "\n".join([*lines, '{"id": [1], "text": "x"}']))
    assert [record.id for record in read_texts(path)] == [1.5, None, None, [1]]
    days = [date(2024, 2, 29), None]
    path = write_parquet(tmp_path, {"id": days, "text": ["x", "x"]})
    assert [record.id for record in read_texts(path)] == days
    path = write_parquet(tmp_path, {"id": [2.0, float("nan")], "text": ["x", "x"]})
    assert [record.id for record in read_texts(path)] == [2.0, None]


def test_a_csv_cell_may_be_long(tmp_path: Path) -> None:
    long = "word " * 40_000
    path = write(tmp_path, "a.csv", f'id,text\n1,"{long}"\n2,{long}\n')
    assert list(read_texts(path)) == [Record("1", long), Record("2", long)]


def test_a_quote_that_is_never_closed_does_not_read_all_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, "a.csv", 'text\n"' + "word\n" * 40_000)
    monkeypatch.setattr(texts, "LONGEST_CELL", 1000)
    before = csv.field_size_limit(1000)
    try:
        with pytest.raises(InputError, match=r"a.csv, line 20\d: not comma-separated .*limit \(1000\)"):
            list(read_texts(path))
    finally:
        csv.field_size_limit(before)


def test_csv_that_is_not_utf8_says_where(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"text\nfine\n\xff\n")
    with pytest.raises(InputError, match=r"a.csv, after line \d: not UTF-8"):
        list(read_texts(path))


@pytest.mark.parametrize("kind", [".txt", ".jsonl", ".csv", ".tsv", ".parquet"])
def test_every_form_may_be_compressed_or_come_from_standard_input(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = {".txt": "é\ntwo\n", ".jsonl": '{"text": "é"}\n"two"\n'}.get(kind, "text\né\ntwo\n").encode()
    if kind == ".parquet":
        content = write_parquet(tmp_path, {"text": ["é", "two"]}).read_bytes()
    path = tmp_path / f"A{kind.upper()}.GZ"
    path.write_bytes(gzip.compress(content))
    expected = [Record(0, "é"), Record(1, "two")]
    assert list(read_texts(path)) == expected
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert list(read_texts("-", kind=kind)) == expected
    assert not sys.stdin.buffer.closed


def test_the_ending_before_the_compression_counts(tmp_path: Path) -> None:
    path = tmp_path / "texts.gz"
    path.write_bytes(gzip.compress(b"one\n"))
    with pytest.raises(InputError, match="cannot read a file without suffix"):
        list(read_texts(path))
    assert list(read_texts(path, kind=".txt")) == [Record(0, "one")]


def test_slices_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "SLICE_RECORDS", 3)
    monkeypatch.setattr(texts, "SLICE_CHARACTERS", 10)
    records = [Record(i, text) for i, text in enumerate(["a", "b", "c", "d", "e" * 9, "f", "g" * 99])]
    assert [len(part) for part in slices(iter(records))] == [3, 2, 2]
    assert list(slices(iter([]))) == []
