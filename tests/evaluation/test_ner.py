from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bertc.errors import InputError
from bertc.evaluation import ner
from bertc.runtime.tokenization import TokenCounts

TEXT = "John B-PER\nSmith I-PER\nsleeps O\n\n\n在 O\n北 B-LOC\n京 I-LOC\n\u3000 O\n"


class Fixed:
    def __init__(self, *tags: str) -> None:
        self.tags = [sentence.split() for sentence in tags]

    def predict_tags(self, words: Any) -> Any:
        assert [len(sentence) for sentence in words] == [len(sentence) for sentence in self.tags]
        return self.tags


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "test.txt"
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize(
    "text", [TEXT, TEXT.replace("\n", "\r\n"), TEXT.rstrip("\n"), TEXT.replace(" ", "\t")]
)
def test_blank_lines_part_sentences(tmp_path: Path, text: str) -> None:
    assert ner.read(write(tmp_path, text)) == [
        (["John", "Smith", "sleeps"], ["B-PER", "I-PER", "O"]),
        (["在", "北", "京", "\u3000"], ["O", "B-LOC", "I-LOC", "O"]),
    ]


def test_columns_between_word_and_label_are_ignored(tmp_path: Path) -> None:
    assert ner.read(write(tmp_path, "John NNP B-NP B-PER \n")) == [(["John"], ["B-PER"])]


def test_entities_count_whole_and_words_singly(tmp_path: Path) -> None:
    result = ner.evaluate(Fixed("B-PER O O", "O B-LOC I-LOC O"), write(tmp_path, TEXT))
    assert result.metrics == {
        "precision": pytest.approx(50),
        "recall": pytest.approx(50),
        "f1": pytest.approx(50),
        "accuracy": pytest.approx(600 / 7),
    }
    assert result.counts == {"samples": 2, "words": 7, "entities": 2}


def test_no_entity_found_scores_zero(tmp_path: Path) -> None:
    metrics = ner.evaluate(Fixed("O O O", "O O O O"), write(tmp_path, TEXT)).metrics
    assert metrics["f1"] == metrics["precision"] == metrics["recall"] == 0


def test_tokens_are_counted_in_pieces_not_truncated(tmp_path: Path) -> None:
    class Counting(Fixed):
        def count_tokens(self, inputs: Any, *, truncate: bool = True) -> TokenCounts:
            assert not truncate
            return TokenCounts(len(inputs), 0)

    counts = ner.evaluate(Counting("O O O", "O O O O"), write(tmp_path, TEXT)).counts
    assert counts == {"samples": 2, "words": 7, "entities": 2, "tokens": 2, "truncated": 0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a O\nb\n", "line 2: expected a word and its label, found 'b'"),
        ("a PER\n", "line 1: the label is 'PER'"),
        ("\n\n", "no sentences"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ner.read(write(tmp_path, text))
