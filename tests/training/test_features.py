"""What is learned from each kind of data: tokens and targets, labels and their order, batches."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bertc.errors import InputError
from bertc.training.base_model import load_tokenizer
from bertc.training.batches import Padding, collate, make_batches
from bertc.training.classify import Classify
from bertc.training.ner import TagWords
from bertc.training.objective import IGNORED, Feature, Objective, TokenSequence
from bertc.training.pairs import ScorePairs
from bertc.training.qa import FindAnswers
from bertc.training.settings import Settings
from bertc.training.sts import Similarities, score_scale

Write = Callable[[str, str], Path]


def settings(kind: str, data: Path, **options: Any) -> Settings:
    return Settings(kind, "base", str(data), str(data), **options)


@pytest.fixture(scope="module")
def tokenizer(artifacts: Any) -> Any:
    folder = artifacts.tiny_checkpoint("embedding", pooling="mean")
    return load_tokenizer(Settings("ner", str(folder), "", ""))


def tokens(tokenizer: Any, feature: Feature) -> list[str]:
    return list(tokenizer.convert_ids_to_tokens(feature.sequences[0].ids))


def test_the_first_token_of_a_word_has_its_label_in_every_piece(tokenizer: Any, write: Write) -> None:
    data = write("data.txt", "playxed B-LOC\nzy I-LOC\nred O\n\nthe O\nthe O\nthe B-PER\nthe O\nthe O\n")
    objective = TagWords(settings("ner", data)).with_labels(None)
    features = objective.features(tokenizer, 6)
    told = [
        [(token, objective.labels[target]) for token, target in pairs if target != IGNORED]
        for pairs in (zip(tokens(tokenizer, each), each.target, strict=True) for each in features)
    ]
    flat = [pair for some in told for pair in some]
    assert len(features) >= 4 and all(len(each.sequences[0].ids) <= 6 for each in features)
    assert [label for _, label in flat] == ["B-LOC", "I-LOC", "O", "O", "O", "B-PER", "O", "O"]
    assert not [token for token, _ in flat if token.startswith(("##", "["))]


def test_labels_of_entities_are_o_then_kinds_with_all_letters(write: Write) -> None:
    data = write("data.txt", "a B-PER\nb I-PER\nc S-LOC\nd E-ORG\n")
    found = TagWords(settings("ner", data)).with_labels(None)
    assert found.labels == ("O", *(f"{letter}-{kind}" for kind in ("LOC", "ORG", "PER") for letter in "BIES"))


@pytest.mark.parametrize(
    ("labels", "given", "expected"),
    [
        (("1", "0", "1"), (), ("LABEL_0", "LABEL_1")),
        (("1", "0"), ("negative", "positive"), ("negative", "positive")),
        (("sport", "Food", "sport", "sport"), (), ("Food", "sport")),
        (("positive", "negative"), (), ("negative", "positive")),
        (("entailment", "contradiction", "neutral"), (), ("entailment", "neutral", "contradiction")),
    ],
)
def test_classes_have_an_order_that_does_not_depend_on_rows(
    labels: tuple[str, ...], given: tuple[str, ...], expected: tuple[str, ...], write: Write, tokenizer: Any
) -> None:
    data = write("data.tsv", "label\tsentence\n" + "".join(f"{label}\tred\n" for label in labels))
    found = Classify(settings("classify", data, labels=given)).with_labels(None)
    assert found.labels == expected
    targets = [feature.target for feature in found.features(tokenizer, 8)]
    assert len(targets) == len(labels)
    assert [targets[0] == target for target in targets] == [labels[0] == label for label in labels]


@pytest.mark.parametrize(
    ("kind", "text", "own", "message"),
    [
        (Classify, "label\tsentence\n1\tred\n", None, "every label is '1': classes need two"),
        (Classify, "label\tsentence\n1\ta\n3\tb\n", None, "the numbers 1, 3, expected 0 to 1 without gaps"),
        (Classify, "label\tsentence\nx\ta\n", ("a", "b"), "line 2, column label: the label 'x' .*--new-head"),
        (Classify, "label\tsentence\n", None, "no samples"),
        (Classify, "class\tbody\n1\ta\n", None, "line 1: no column for the label"),
        (TagWords, "a B-ORG\n", ("O", "B-PER"), "B-ORG are none of the base's, O, B-PER: .*--new-head"),
        (TagWords, "", None, "no sentences"),
    ],
)  # fmt: skip
def test_labels_that_cannot_be_are_refused(
    kind: type[Objective], text: str, own: tuple[str, ...] | None, message: str, write: Write
) -> None:
    name = {Classify: "data.tsv", TagWords: "data.txt"}
    with pytest.raises(InputError, match=message):
        kind(settings("ner" if kind is TagWords else "classify", write(name[kind], text))).with_labels(own)


def squad(answer: str, context: str, start: int | None) -> str:
    given = [{"text": answer, **({} if start is None else {"answer_start": start})}] if answer else []
    entry = {"id": "q", "question": "one", "answers": given}
    other = {"id": "r", "question": "one", "answers": [{"text": context.split()[0], "answer_start": 0}]}
    return json.dumps({"data": [{"paragraphs": [{"context": context, "qas": [entry, other]}]}]})


@pytest.mark.parametrize(("start", "place"), [(12, 1), (None, 0), (3, 0)])
def test_an_answer_is_where_the_file_says_or_where_it_is_found(
    start: int | None, place: int, tokenizer: Any, write: Write
) -> None:
    data = write("data.json", squad("red cat", "red cat and red cat", start))
    feature = FindAnswers(settings("qa", data, stride=2)).features(tokenizer, 32)[0]
    first, last = feature.target
    found = tokens(tokenizer, feature)
    assert found[first : last + 1] == ["red", "cat"]
    assert first == found.index("red") + 3 * place


def test_a_window_without_the_whole_answer_points_at_its_first_token(tokenizer: Any, write: Write) -> None:
    data = write("data.json", squad("sky", "the man is in the red car and the sky", None))
    features = FindAnswers(settings("qa", data, stride=2)).features(tokenizer, 9)
    mine = [each for each in features if each.target != (0, 0)]
    windows = len(features) // 2
    assert windows > 1
    assert [tokens(tokenizer, each)[each.target[0]] for each in mine] == ["sky", "the"]
    assert sum(each.target == (0, 0) for each in features) == len(features) - 2


def test_a_question_without_an_answer_points_at_the_first_token(tokenizer: Any, write: Write) -> None:
    features = FindAnswers(settings("qa", write("d.json", squad("", "red cat", None)), stride=2)).features(
        tokenizer, 32
    )
    assert [each.target for each in features] == [(0, 0), (3, 3)]


@pytest.mark.filterwarnings("ignore:.*an answer is not in the context")
def test_questions_that_cannot_be_learned_are_refused(tokenizer: Any, write: Write) -> None:
    lost = json.loads(squad("blue", "red cat", None))
    del lost["data"][0]["paragraphs"][0]["qas"][1]
    with pytest.raises(InputError, match="no question has an answer that is in its context"):
        FindAnswers(settings("qa", write("a.json", json.dumps(lost)))).features(tokenizer, 32)
    data = write("b.json", squad("cat", "red cat", None))
    with pytest.raises(
        InputError, match=r"a question has 3 tokens, which leaves 2 of 7 .*raise --max-length"
    ):
        FindAnswers(settings("qa", data, stride=2)).features(tokenizer, 7)


@pytest.mark.parametrize(
    ("scores", "scale"), [([0.0, 1.0], 1), ([-1.0, 0.5], 1), ([0.0, 3.8], 5), ([2.0, 90.0], 90)]
)
def test_scores_become_cosines(scores: list[float], scale: float) -> None:
    assert score_scale(scores, "data") == scale


def test_scores_that_are_no_cosines_are_refused() -> None:
    with pytest.raises(InputError, match="data: the score -3 is below -1"):
        score_scale([-3.0, 1.0], "data")


def test_pairs_have_both_sentences(tokenizer: Any, write: Write) -> None:
    data = write("data.tsv", "score\tsentence1\tsentence2\n4\tred car\tcat\n1\tsky\tsea\n")
    feature = Similarities(settings("sts", data)).features(tokenizer, 8)[0]
    pieces = [tokenizer.convert_ids_to_tokens(each.ids) for each in feature.sequences]
    assert pieces == [["[CLS]", "red", "car", "[SEP]"], ["[CLS]", "cat", "[SEP]"]]
    assert feature.target == 0.8
    scored = ScorePairs(settings("pairs", data, positive_from=3.0)).features(tokenizer, 16)
    assert [each.target for each in scored] == [1, 0]
    assert tokens(tokenizer, scored[0]) == ["[CLS]", "red", "car", "[SEP]", "cat", "[SEP]"]
    assert list(scored[0].sequences[0].types) == [0, 0, 0, 0, 1, 1]


def test_batches_have_every_feature_once_and_little_padding() -> None:
    lengths = [1 + index * 37 % 101 for index in range(1000)]
    batches = make_batches(lengths, 8, seed=3, epoch=1)
    assert sorted(index for batch in batches for index in batch) == list(range(1000))
    assert [len(batch) for batch in batches].count(8) == 125
    padded = sum(len(batch) * max(lengths[index] for index in batch) for batch in batches)
    assert padded < 1.1 * sum(lengths)
    assert batches == make_batches(lengths, 8, seed=3, epoch=1)
    assert batches != make_batches(lengths, 8, seed=3, epoch=2)
    assert batches != make_batches(lengths, 8, seed=4, epoch=1)


def test_what_is_padded_has_no_attention() -> None:
    pair = Feature((TokenSequence([5, 6], [0, 1]), TokenSequence([7], [0])), 0.5)
    batch = collate([pair, replace_ids(pair, 8)], Padding(9, 1), "cpu")
    assert batch.inputs["input_ids"].tolist() == [[5, 6], [8, 8], [7, 9], [8, 9]]
    assert batch.inputs["attention_mask"].tolist() == [[1, 1], [1, 1], [1, 0], [1, 0]]
    assert batch.inputs["token_type_ids"].tolist() == [[0, 1], [0, 1], [0, 1], [0, 1]]


def replace_ids(feature: Feature, number: int) -> Feature:
    return feature._replace(
        sequences=tuple(each._replace(ids=[number] * len(each.ids)) for each in feature.sequences)
    )


def test_settings_list_all_that_is_wrong() -> None:
    with pytest.raises(
        InputError, match=r"epochs is 0, .*; learning_rate is -1, .*; labels a, A name a class"
    ):
        Settings("classify", "b", "d", "e", epochs=0, learning_rate=-1, labels=("a", "A"))
    right = Settings("classify", "b", "d", "e", labels=("a", "b"))
    assert right.to_dict() == {**Settings("classify", "b", "d", "e").to_dict(), "labels": ["a", "b"]}
    assert replace(right, seed=1) != right


def test_standard_input_is_refused_since_data_is_read_again() -> None:
    with pytest.raises(InputError, match="standard input can be read only once: name a file"):
        Settings("sts", "base", "-", "dev.csv")
