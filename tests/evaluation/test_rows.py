"""Labeled data as rows of .jsonl, of .parquet and of the hub, and tables without a line of names."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import pytest

from bertc.errors import InputError
from bertc.evaluation import classification, ner, question_answering, sts
from bertc.evaluation.pairs import PairDecisions

SENTENCES = [
    {"id": "a", "tokens": ["John", "runs"], "ner_tags": ["B-PER", "O"]},
    {"id": "b", "tokens": ["in", "Paris"], "ner_tags": ["O", "B-LOC"]},
]
QUESTIONS = [
    {
        "id": "a",
        "question": "who",
        "context": "John runs",
        "answers": {"text": ["John"], "answer_start": [0]},
    },
    {"id": "b", "question": "where", "context": "John runs", "answers": {"text": [], "answer_start": []}},
]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".parquet":
        arrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        parquet.write_table(arrow.Table.from_pylist(rows), path)
    else:
        path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_sentences_are_rows_of_lists(tmp_path: Path, suffix: str) -> None:
    assert ner.read(write(tmp_path / f"a{suffix}", SENTENCES)) == [
        (["John", "runs"], ["B-PER", "O"], "a"),
        (["in", "Paris"], ["O", "B-LOC"], "b"),
    ]


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_questions_are_rows_with_lists_of_answers(tmp_path: Path, suffix: str) -> None:
    assert question_answering.read(write(tmp_path / f"a{suffix}", QUESTIONS)) == [
        ("who", "John runs", ("John",), "a"),
        ("where", "John runs", (), "b"),
    ]


class Streamed(list[dict[str, Any]]):
    features: ClassVar = {
        "id": SimpleNamespace(dtype="string"),
        "ner_tags": SimpleNamespace(feature=SimpleNamespace(names=["O", "B-PER", "B-LOC"])),
        "tokens": SimpleNamespace(feature=SimpleNamespace(dtype="string")),
    }


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[Any, ...]]]:
    """Stands in for the package of data sets, and writes down what it is asked for."""
    calls: list[tuple[Any, ...]] = []
    data = {
        "conll": Streamed([{**SENTENCES[0], "ner_tags": [1, 0]}, {**SENTENCES[1], "ner_tags": [0, 2]}]),
        "squad": QUESTIONS,
        "nyu-mll/glue": [{"sentence": "good", "label": 1, "idx": 0}],
        "stsb": [{"sentence1": "a", "sentence2": "b", "score": 0.5}] * 2,
    }

    def load_dataset(name: str, subset: str | None, *, split: str, streaming: bool) -> Any:
        calls.append((name, subset, split, streaming))
        return data[name]

    package = ModuleType("datasets")
    package.load_dataset = load_dataset  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", package)
    yield calls


def test_data_sets_of_the_hub_are_streamed(asked: list[tuple[Any, ...]]) -> None:
    assert [each.labels for each in ner.read("hub:conll")] == [["B-PER", "O"], ["O", "B-LOC"]]
    assert len(question_answering.read("hub:squad@validation")) == 2
    samples = classification.read("hub:nyu-mll/glue#sst2@validation", ("negative", "positive"))
    assert samples == [("good", 1, "row 0")]
    assert [each.score for each in sts.read("hub:stsb")] == [0.5, 0.5]
    assert asked == [
        ("conll", None, "test", True),
        ("squad", None, "validation", True),
        ("nyu-mll/glue", "sst2", "validation", True),
        ("stsb", None, "test", True),
    ]


@pytest.mark.usefixtures("asked")
def test_what_the_hub_lacks_is_named() -> None:
    with pytest.raises(InputError, match="cannot read the data set none, split test: 'none'"):
        sts.read("hub:none")
    with pytest.raises(InputError, match="hub:@test: expected hub:NAME, hub:NAME@SPLIT or hub:NAME#SUBSET@S"):
        sts.read("hub:@test")
    with pytest.raises(InputError, match="hub:squad, row 0: no column sentence1, it has id"):
        sts.read("hub:squad")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"tokens": ["a"], "ner_tags": ["O", "O"]}, r"a.jsonl, line 1: 1 tokens, but 2 ner_tags: each needs"),
        ({"tokens": ["a"]}, r"a.jsonl, line 1: no column ner_tags"),
        (
            {"words": "a b", "tags": ["O"]},
            r"a.jsonl, line 1, column words: expected a list of texts, found 'a",
        ),
        (
            {"tokens": ["a"], "ner_tags": [1]},
            r"line 1, column ner_tags: expected a list of texts, found \[1\]",
        ),
        (
            {"tokens": ["a"], "labels": ["PER"]},
            r"line 1, column labels, item 0: the label is 'PER', expected O, or a prefix",
        ),
        (
            {"tokens": ["a", "b"], "labels": ["L-X", "S-X"]},
            r"line 1, column labels, item 1: S-X, but .*item 0 has L-X: the file mixes tag schemes",
        ),
        ({"tokens": [], "labels": []}, r"a.jsonl: no sentences"),
    ],
)
def test_bad_sentences_are_named(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ner.read(write(tmp_path / "a.jsonl", [row]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answers": "John"}, "line 1, column answers: expected a list of texts, found 'John'"),
        ({"answers": [1]}, r"line 1, column answers: expected a list of texts, found \[1\]"),
        ({"context": None}, "line 1: 3 columns, expected at least 3"),
        ({"id": "b"}, "line 2: the id 'b' is that of"),
    ],
)
def test_bad_questions_are_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = write(tmp_path / "a.jsonl", [{**QUESTIONS[0], **change}, QUESTIONS[1]])
    with pytest.raises(InputError, match=message):
        question_answering.read(path)


def test_a_context_that_memory_has_no_room_for_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(question_answering, "LONGEST_CONTEXT", 8)
    message = r"a.jsonl, line 1: the context has 9 characters, .* at most 8 may be: cut it"
    with pytest.raises(InputError, match=message):
        question_answering.read(write(tmp_path / "a.jsonl", QUESTIONS))
    monkeypatch.setattr(question_answering, "LARGEST_FILE", 8)
    (tmp_path / "dev.json").write_text(json.dumps({"data": []}))
    with pytest.raises(
        InputError, match=r"dev.json has more than 8 bytes, and JSON is read whole: write a row"
    ):
        question_answering.read(tmp_path / "dev.json")


def test_tables_without_a_line_of_names(tmp_path: Path) -> None:
    path = tmp_path / "cola.tsv"
    path.write_text("gj04\t1\t\tThe sailors rode.\ngj04\t0\t*\tThe car honked down.\n")
    samples = classification.read(path, ("unacceptable", "acceptable"), ("2", "4"))
    assert [(each.text, each.label, each.id) for each in samples] == [
        ("The sailors rode.", 1, "line 1"),
        ("The car honked down.", 0, "line 2"),
    ]
    with pytest.raises(InputError, match=r"cola.tsv, line 1: no column 5, it has 1, 2, 3, 4"):
        classification.read(path, ("unacceptable", "acceptable"), ("2", "5"))
    with pytest.raises(
        InputError, match=r"cola.tsv, line 1: no column for the label: the first line must name"
    ):
        classification.read(path, ("unacceptable", "acceptable"))


def test_columns_may_be_named(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("a,b,same\nx,y,1\nx,z,0\n")
    pairs = PairDecisions(columns=("same", "a", "b")).read(path)
    assert [tuple(each) for each in pairs] == [("x", "y", 1, "line 2"), ("x", "z", 0, "line 3")]
