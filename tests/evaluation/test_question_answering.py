from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from bertc.errors import InputError
from bertc.evaluation import question_answering
from bertc.runtime.tokenization import TokenCounts

CONTEXT = "Beyoncé was born in Houston, Texas. She won the three Grammy Awards."


class Fixed:
    """An engine that answers what it is told to, and remembers what it was asked."""

    def __init__(self, *answers: str) -> None:
        self.answers = answers

    def answer(self, question: Any, context: Any, *, handle_impossible_answer: bool = False) -> Any:
        self.asked = list(zip(question, context, strict=True))
        self.may_be_empty = handle_impossible_answer
        return [{"score": 1.0, "start": 0, "end": 0, "answer": answer} for answer in self.answers]


def data(*questions: tuple[str, list[str]]) -> dict[str, Any]:
    """A file as SQuAD has it, of one paragraph."""
    qas = [
        {"id": str(index), "question": question, "answers": [{"text": a, "answer_start": 0} for a in answers]}
        for index, (question, answers) in enumerate(questions)
    ]
    return {"version": "1.1", "data": [{"title": "x", "paragraphs": [{"context": CONTEXT, "qas": qas}]}]}


def write(tmp_path: Path, value: Any) -> Path:
    path = tmp_path / "dev.json"
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    return path


def test_questions_have_their_contexts_and_answers(tmp_path: Path) -> None:
    value = data(("Where?", ["Houston", "Houston, Texas"]), ("Why?", []))
    expected = [("Where?", CONTEXT, ("Houston", "Houston, Texas"), "0"), ("Why?", CONTEXT, (), "1")]
    assert question_answering.read(write(tmp_path, value)) == expected
    packed = tmp_path / "dev.json.gz"
    packed.write_bytes(gzip.compress(json.dumps(value).encode()))
    assert question_answering.read(packed) == expected


@pytest.mark.parametrize(
    ("answer", "normal"),
    [
        ("The  Houston, Texas.", "houston texas"),
        ("an A the", ""),
        ("Theater-goers", "theatergoers"),
        ("Beyoncé\u00a0Knowles", "beyoncé knowles"),
        ("“three”", "“three”"),
    ],
)
def test_answers_are_compared_as_squad_does(answer: str, normal: str) -> None:
    assert question_answering.normalize(answer) == normal


def test_scores_are_those_of_squad(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        data(
            ("Where?", ["Houston", "Houston, Texas"]),
            ("What?", ["three Grammy Awards"]),
            ("Who?", ["Beyoncé"]),
        ),
    )
    engine = Fixed("the houston TEXAS", "Grammy Awards Awards", "She")
    result = question_answering.evaluate(engine, path)
    assert engine.asked == [("Where?", CONTEXT), ("What?", CONTEXT), ("Who?", CONTEXT)]
    assert not engine.may_be_empty
    assert result.metrics == {
        "exact_match": pytest.approx(100 / 3),
        "f1": pytest.approx(100 * (1 + 2 / 3) / 3),
    }
    assert result.counts == {"samples": 3, "unanswerable": 0}


def test_questions_without_answers_want_an_empty_one(tmp_path: Path) -> None:
    path = write(tmp_path, data(("Where?", ["Houston"]), ("Why?", []), ("How?", []), ("Who?", ["Beyoncé"])))
    engine = Fixed("Houston", "", "three", "")
    result = question_answering.evaluate(engine, path)
    assert engine.may_be_empty
    assert result.metrics == {
        "exact_match": 50,
        "f1": 50,
        "answerable_exact_match": 50,
        "answerable_f1": 50,
        "unanswerable_exact_match": 50,
        "unanswerable_f1": 50,
    }
    assert result.counts == {"samples": 4, "unanswerable": 2}


def test_tokens_are_counted_where_the_engine_can(tmp_path: Path) -> None:
    class Counting(Fixed):
        def count_tokens(self, inputs: Any, *, truncate: bool = True) -> TokenCounts:
            assert inputs == [("Where?", CONTEXT)] and not truncate
            return TokenCounts(17, 0)

    result = question_answering.evaluate(Counting("Houston"), write(tmp_path, data(("Where?", ["Houston"]))))
    assert result.counts == {"samples": 1, "unanswerable": 0, "tokens": 17, "truncated": 0}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], r"dev\.json: data is no list"),
        ({"data": []}, r"dev\.json: no questions"),
        ({"data": [{"paragraphs": {}}]}, r"data\[0\]\.paragraphs is no list"),
        ({"data": [{"paragraphs": [{"context": 3}]}]}, r"data\[0\]\.paragraphs\[0\]\.context is no text"),
        (data(("Where?", [3])), r"paragraphs\[0\]\.qas\[0\]\.answers\[0\]\.text is no text"),  # type: ignore[list-item]
    ],
)
def test_what_is_not_squad_is_named(tmp_path: Path, value: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        question_answering.read(write(tmp_path, value))


def test_two_questions_with_one_id_are_named(tmp_path: Path) -> None:
    value = data(("Where?", ["Houston"]), ("Who?", ["She"]))
    value["data"][0]["paragraphs"][0]["qas"][1]["id"] = "0"
    with pytest.raises(InputError, match=r"qas\[1\]: the id '0' is that of .*qas\[0\] too"):
        question_answering.read(write(tmp_path, value))


def test_an_answer_that_is_not_in_the_context_is_a_warning(tmp_path: Path) -> None:
    path = write(tmp_path, data(("Where?", ["Houston"]), ("Who?", ["Rihanna"])))
    with pytest.warns(UserWarning, match=r"qas\[1\]: an answer is not in the context.* 1 of 2 questions"):
        assert len(question_answering.read(path)) == 2


def test_what_is_no_json_is_named(tmp_path: Path) -> None:
    path = tmp_path / "dev.json"
    for content in (b"question\tanswer\n", b'{"data": "\xff"}', b""):
        path.write_bytes(content)
        with pytest.raises(InputError, match="is no JSON"):
            question_answering.read(path)
    with pytest.raises(InputError, match="cannot read"):
        question_answering.read(tmp_path / "absent.json")
