from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bertc.errors import InputError
from bertc.evaluation import ner
from bertc.runtime.tokenization import TokenCounts

LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
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
        (["John", "Smith", "sleeps"], ["B-PER", "I-PER", "O"], "line 1"),
        (["在", "北", "京", "\u3000"], ["O", "B-LOC", "I-LOC", "O"], "line 6"),
    ]


def test_columns_between_word_and_label_are_ignored(tmp_path: Path) -> None:
    assert ner.read(write(tmp_path, "John NNP B-NP B-PER \n")) == [(["John"], ["B-PER"], "line 1")]


def test_tabs_leave_spaces_to_the_words(tmp_path: Path) -> None:
    path = write(tmp_path, "New York\tB-LOC\n is\tVBZ\t O \nbig O\n")
    assert ner.read(path) == [(["New York", " is", "big"], ["B-LOC", "O", "O"], "line 1")]


def test_starts_of_documents_are_no_sentences(tmp_path: Path) -> None:
    text = "-DOCSTART- -X- -X- O\n\nJohn NNP B-NP B-PER\n-DOCSTART-\nruns VBZ B-VP O\n"
    expected = [(["John"], ["B-PER"], "line 3"), (["runs"], ["O"], "line 5")]
    assert ner.read(write(tmp_path, text)) == expected


@pytest.mark.parametrize("labels", [("LABEL_0", "LABEL_1"), ("O", "B-per", "I-per"), ("PER", "LOC"), ()])
def test_labels_that_do_not_fit_are_an_error_with_both_sets(tmp_path: Path, labels: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match=f"are B-LOC, B-PER, I-LOC, I-PER, O, .* {', '.join(labels)}$"):
        ner.evaluate(Fixed("O O O", "O O O O"), write(tmp_path, TEXT), labels)


def test_kinds_that_the_model_does_not_know_are_a_warning(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="not know, and which count as not found: LOC; the model has PER"):
        result = ner.evaluate(Fixed("B-PER I-PER O", "O O O O"), write(tmp_path, TEXT), LABELS[:3])
    assert result.metrics["precision"] == 100 and result.metrics["recall"] == pytest.approx(50)


def test_data_without_entities_needs_no_common_kind(tmp_path: Path) -> None:
    assert ner.evaluate(Fixed("O"), write(tmp_path, "a O\n"), ("LABEL_0",)).metrics["accuracy"] == 100


@pytest.mark.parametrize(
    "data",
    [
        "U-PER U-PER B-LOC L-LOC O B-LOC I-LOC L-LOC",
        "S-PER S-PER B-LOC E-LOC O B-LOC I-LOC E-LOC",
        "S-PER S-PER B-LOC E-LOC O B-LOC M-LOC E-LOC",
        "W-PER W-PER B-LOC E-LOC O B-LOC M-LOC E-LOC",
    ],
)
@pytest.mark.parametrize("model", ["B-PER B-PER B-LOC I-LOC O B-LOC I-LOC I-LOC", None])
def test_perfect_answers_are_perfect_in_every_scheme(tmp_path: Path, data: str, model: str | None) -> None:
    model = model or data
    text = "".join(f"w {label}\n" for label in data.split())
    result = ner.evaluate(Fixed(model), write(tmp_path, text), model.split())
    assert set(result.metrics.values()) == {100} and result.counts["entities"] == 4


def test_a_label_that_is_no_entity_counts_as_outside(tmp_path: Path) -> None:
    result = ner.evaluate(Fixed("B-PER X [SEP]"), write(tmp_path, "a B-PER\nb O\nc O\n"), ("O", "X", "B-PER"))
    assert set(result.metrics.values()) == {100}


def test_entities_count_whole_and_words_singly(tmp_path: Path) -> None:
    result = ner.evaluate(Fixed("B-PER O O", "O B-LOC I-LOC O"), write(tmp_path, TEXT), LABELS)
    assert result.metrics == {
        "precision": pytest.approx(50),
        "recall": pytest.approx(50),
        "f1": pytest.approx(50),
        "accuracy": pytest.approx(600 / 7),
        "token_f1": pytest.approx(100 * 2 * 3 / (3 + 4)),
    }
    assert result.counts == {"samples": 2, "words": 7, "entities": 2}


def test_no_entity_found_scores_zero(tmp_path: Path) -> None:
    metrics = ner.evaluate(Fixed("O O O", "O O O O"), write(tmp_path, TEXT), LABELS).metrics
    assert metrics["f1"] == metrics["precision"] == metrics["recall"] == 0


def test_tokens_are_counted_in_pieces_not_truncated(tmp_path: Path) -> None:
    class Counting(Fixed):
        def count_tokens(self, inputs: Any, *, truncate: bool = True) -> TokenCounts:
            assert not truncate
            return TokenCounts(len(inputs), 0)

    counts = ner.evaluate(Counting("O O O", "O O O O"), write(tmp_path, TEXT), LABELS).counts
    assert counts == {"samples": 2, "words": 7, "entities": 2, "tokens": 2, "truncated": 0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a O\nb\n", "line 2: expected a word and its label, found 'b'"),
        ("a O\nb\t\n", "line 2: expected a word and its label, found 'b'"),
        ("a PER\n", r"line 1, column 2: the label is 'PER', .* \(a header\? take it out\)"),
        ("\n\n", "no sentences"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ner.read(write(tmp_path, text))
