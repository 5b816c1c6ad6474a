from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bertc.errors import InputError
from bertc.evaluation import ner
from bertc.evaluation.ner import Sentence

LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
IOB2 = "O B-PER I-PER B-PER B-LOC O B-LOC"
IOB1 = "O I-PER I-PER B-PER I-LOC O I-LOC"


class Fixed:
    def __init__(self, tags: str) -> None:
        self.tags = tags.split()

    def predict_tags(self, words: Any) -> Any:
        return [self.tags for _ in words]


def write(tmp_path: Path, labels: str) -> Path:
    path = tmp_path / "test.txt"
    path.write_text("".join(f"w {label}\n" for label in labels.split()))
    return path


@pytest.mark.parametrize("data", [IOB1, IOB2])
@pytest.mark.parametrize("model", [IOB1, IOB2, "O B-PER E-PER S-PER S-LOC O S-LOC"])
def test_perfect_answers_are_perfect_whatever_begins_an_entity(tmp_path: Path, data: str, model: str) -> None:
    labels = (*LABELS, *model.split())
    result = ner.evaluate(Fixed(model), write(tmp_path, data), labels)
    assert set(result.metrics.values()) == {100} and result.counts["entities"] == 4


def test_a_model_that_continues_what_nothing_began_keeps_its_spelling(tmp_path: Path) -> None:
    result = ner.evaluate(Fixed("B-PER O I-PER"), write(tmp_path, "B-PER O B-PER"), LABELS)
    # seqeval: the entity is found, its label is wrong.
    assert result.metrics["f1"] == 100 and result.metrics["accuracy"] == pytest.approx(200 / 3)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("B-PER E-PER O U-LOC", "line 4: U-LOC, but .*line 2 has E-PER: the file mixes tag schemes"),
        ("B-PER M-PER L-PER", "line 3: L-PER, but .*line 2 has M-PER: the file mixes"),
        ("B-PER X-PER", "line 2: X-PER, but .*line 1 has B-PER: the file mixes"),
        ("X-PER", "line 1: X-PER begins with no letter of BIO, BIOES"),
    ],
)
def test_mixed_schemes_are_named(tmp_path: Path, labels: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ner.read(write(tmp_path, labels))


def test_columns_may_have_any_order(tmp_path: Path) -> None:
    path = tmp_path / "test.txt"
    path.write_text("1 B-PER john NNP\n2 O runs VB\n")
    assert ner.read(path, (2, 1)) == [Sentence(["john", "runs"], ["B-PER", "O"], "line 1")]
    assert ner.read(path, (-2, 1)) == ner.read(path, (2, 1))
    with pytest.raises(InputError, match="line 1: 4 columns, but columns 3 and 6 are wanted"):
        ner.read(path, (2, 5))


def test_scores_of_kinds_and_the_confusion_of_words(tmp_path: Path) -> None:
    result = ner.evaluate(Fixed("O B-PER O B-PER B-PER O B-LOC"), write(tmp_path, IOB2), LABELS)
    # Of three expected and three found PER and LOC: PER at 4 and LOC at 7 are right.
    assert result.classes["LOC"] == {
        "precision": 100,
        "recall": 50,
        "f1": pytest.approx(200 / 3),
        "samples": 2,
    }
    assert result.classes["PER"]["precision"] == pytest.approx(100 / 3)
    assert result.confusion is not None and result.confusion.labels == ("LOC", "PER", "O")
    assert result.confusion.counts.tolist() == [[1, 1, 0], [0, 2, 1], [0, 0, 2]]
