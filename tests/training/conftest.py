"""Small data of each kind."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.sentence_models import one_thread

__all__ = ["one_thread"]
"""A fixture for all tests here."""
CITIES, PEOPLE = ("london", "paris"), ("john", "smith")


def classes(count: int = 48, names: Sequence[str] = "01") -> str:
    rows = [
        f"{names[n % 2]}\tthe film is {('bad', 'good')[n % 2]}{' acting' * (n % 5)}" for n in range(count)
    ]
    return "\n".join(["label\tsentence", *rows])


def entities() -> str:
    words = [
        f"{city} B-LOC\nbig I-LOC\nis O\nred O\n\n{name} B-PER\nworks O\n"
        for city, name in zip(CITIES, PEOPLE, strict=True)
    ]
    return "\n".join(words * 6)


def scored_pairs() -> str:
    rows = [f"{5 * (n % 2)}\tthe cat {n % 3}\t{('blue train', 'the cat')[n % 2]} {n % 4}" for n in range(24)]
    return "\n".join(["score\tsentence1\tsentence2", *rows])


def matches() -> str:
    return scored_pairs().replace("\n5", "\n1").replace("score", "label", 1)


def questions() -> str:
    context = "john lives in london with a cat and paul lives in paris with a dog"
    asked = [("where is john", "london"), ("where is paul", "paris"), ("who is in paris", "paul")] * 4
    entries = [
        {
            "id": str(n),
            "question": question,
            "answers": [{"text": answer, "answer_start": context.index(answer)}],
        }
        for n, (question, answer) in enumerate(asked)
    ]
    return json.dumps({"data": [{"paragraphs": [{"context": context, "qas": entries}]}]})


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    """``write(name, text)``: a file."""

    def make(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return make


KINDS: dict[str, tuple[str, Callable[[], str], dict[str, Any]]] = {
    "classify": ("data.tsv", classes, {}),
    "ner": ("data.txt", entities, {}),
    "sts": ("data.tsv", scored_pairs, {}),
    "qa": ("data.json", questions, {"stride": 8, "max_length": 32}),
    "pairs": ("data.tsv", matches, {}),
}
"""The name of the file, what is in it, and settings that suit it."""
