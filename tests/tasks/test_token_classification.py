from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import bertc
from bertc.errors import InputError
from bertc.runtime.tokenization import Tokenizer
from bertc.tasks.token_classification import Tagging, WordTagging
from tests.conftest import MakeArtifact
from tests.support.answers import VOCABULARY, answers, tagging_table, tokenizer
from tests.support.tiny_models import make_tokenizer

LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
TAGS = {
    "john": "B-PER",
    "smith": "I-PER",
    "paris": "B-LOC",
    "london": "I-LOC",
    "##ing": "I-PER",
    "的": "B-LOC",
}
SURE = float(np.exp(4) / (np.exp(4) + 4))


class Model:
    """Tags words by a table of tokens, as a loaded ``Tagger`` does."""

    def __init__(self, labels: tuple[str, ...] = LABELS, tags: dict[str, str] = TAGS) -> None:
        self._labels, self.table = labels, tagging_table(labels, tags)

    def tag(self, items: Any, **options: Any) -> Any:
        """Entities of each item, or of the one text."""
        single = isinstance(items, str)
        task = Tagging(tokenizer(), self._labels, **options)
        found = answers(task, [items] if single else items, self.table, per_token=True)
        return found[0] if single else found

    def predict_tags(self, words: list[list[str]]) -> Any:
        """Labels of each list of words."""
        return answers(WordTagging(tokenizer(), self._labels), words, self.table, per_token=True)


@pytest.fixture
def task() -> Model:
    return Model()


@pytest.fixture
def tagger(artifact: MakeArtifact) -> bertc.Tagger:
    loaded = bertc.load(artifact("token_classification"))
    assert isinstance(loaded, bertc.Tagger)
    return loaded


def spans(entities: Any) -> list[tuple[str, str, int, int]]:
    return [(e["entity_group"], e["word"], e["start"], e["end"]) for e in entities]


def test_adjacent_tokens_join(task: Model) -> None:
    assert task.tag("Mr John  Smith lives in Paris.") == [
        {"entity_group": "PER", "score": pytest.approx(SURE), "word": "john smith", "start": 3, "end": 14},
        {"entity_group": "LOC", "score": pytest.approx(SURE), "word": "paris", "start": 24, "end": 29},
    ]


def test_word_is_what_the_tokens_spell_and_the_offsets_are_those_of_the_text(task: Model) -> None:
    text = "JOHN \ud800 SMİTH Paris"
    found = task.tag(text)
    assert [each["word"] for each in found] == ["john smith", "paris"]
    assert [text[each["start"] : each["end"]] for each in found] == ["JOHN \ud800 SMİTH", "Paris"]
    assert spans(task.tag("的的")) == [("LOC", "的", 0, 1), ("LOC", "的", 1, 2)]


def test_word_has_the_text_of_tokens_that_the_vocabulary_lacks(task: Model) -> None:
    task.table[VOCABULARY["[UNK]"]] = task.table[VOCABULARY["john"]]
    unknown = "ΞΨ"
    assert spans(task.tag(f"the {unknown} smith")) == [("PER", f"{unknown} smith", 4, 12)]
    assert spans(task.tag([["the", unknown, "smith"]])[0]) == [("PER", f"{unknown} smith", 1, 3)]
    assert task.tag(unknown, aggregation_strategy="none")[0]["word"] == unknown


def test_b_opens_a_new_entity_and_another_kind_does_too(task: Model) -> None:
    assert [s[:2] for s in spans(task.tag("john john paris london smith"))] == [
        ("PER", "john"),
        ("PER", "john"),
        ("LOC", "paris london"),
        ("PER", "smith"),
    ]


def test_o_between_keeps_entities_apart(task: Model) -> None:
    assert [s[1] for s in spans(task.tag("london the london"))] == ["london", "london"]


def test_labels_without_b_and_i_join_too() -> None:
    task = Model(("O", "NAME", "A-B-C"), {"john": "NAME", "smith": "NAME", "paris": "A-B-C"})
    assert [s[:2] for s in spans(task.tag("john smith paris"))] == [("NAME", "john smith"), ("B-C", "paris")]


def test_o_can_be_asked_for(task: Model) -> None:
    assert [s[0] for s in spans(task.tag("the john is", ignore_labels=("PER",)))] == ["O", "O"]


def test_tokens_one_by_one(task: Model) -> None:
    assert task.tag("in Paris", aggregation_strategy="none") == [
        {
            "entity": "B-LOC",
            "score": pytest.approx(SURE),
            "index": 2,
            "word": "paris",
            "start": 3,
            "end": 8,
        }
    ]


def test_a_list_gives_lists(task: Model, tagger: bertc.Tagger) -> None:
    assert tagger.tag([]) == []
    assert tagger.tag(["paris", "the"]) == [tagger.tag("paris"), tagger.tag("the")]
    found = task.tag(["", "paris", "the"])
    assert [len(each) for each in found] == [0, 1, 0]


def test_offsets_of_words_count_words(task: Model) -> None:
    found = task.tag([["the", "john", "smith", "in"], ["paris"], []])
    assert [spans(each) for each in found] == [
        [("PER", "john smith", 1, 3)],
        [("LOC", "paris", 0, 1)],
        [],
    ]


def test_pairs_and_unknown_strategies_are_refused(tagger: bertc.Tagger) -> None:
    with pytest.raises(InputError, match=r"inputs\[0\] is a tuple"):
        tagger.tag(("john", "smith"))
    with pytest.raises(InputError, match="aggregation_strategy"):
        tagger.tag("john", aggregation_strategy="last")


def test_first_token_labels_the_word(task: Model) -> None:
    words = ["the", "john", "dog##ing", "playsing"]
    assert task.predict_tags([words, ["paris"]]) == [["O", "B-PER", "O", "O"], ["B-LOC"]]


def test_words_without_tokens_are_outside(task: Model) -> None:
    assert task.predict_tags([[" ", "paris", ""], [], ["\u200b"]]) == [["O", "B-LOC", "O"], [], ["O"]]


def test_one_list_of_words_gives_one_list_of_labels(tagger: bertc.Tagger) -> None:
    words = ["the", "john", "dog##ing", "playsing"]
    labels = tagger.predict_tags(words)
    assert len(labels) == 4 and tagger.predict_tags([words]) == [labels]
    assert tagger.predict_tags([]) == []


def test_no_label_is_lost_in_a_long_text(task: Model) -> None:
    words = ["paris" if i % 13 == 0 else "the" for i in range(1000)]
    expected = ["B-LOC" if i % 13 == 0 else "O" for i in range(1000)]
    assert task.predict_tags([["john"], words, ["smith"]]) == [["B-PER"], expected, ["I-PER"]]


def test_a_word_cut_in_two_keeps_the_label_of_its_first_token() -> None:
    task = Model(tags={"dog": "B-LOC", "##ing": "I-PER"})
    words = ["the"] * 13 + ["doging", "the"]  # the limit of 14 tokens falls inside "dog ##ing"
    assert task.predict_tags([words]) == [["O"] * 13 + ["B-LOC", "O"]]


@pytest.mark.parametrize("words", [[3], [["a"], "b"], [("a", "b")]])
def test_wrong_words_are_refused(tagger: bertc.Tagger, words: Any) -> None:
    with pytest.raises(InputError):
        tagger.predict_tags(words)


def test_entities_of_a_long_text_are_found_and_joined_across_the_cut(task: Model) -> None:
    text = "the " * 10 + "john smith smith smith smith in paris " + "the " * 50 + "london"
    assert [s[:2] for s in spans(task.tag(text))] == [
        ("PER", "john smith smith smith smith"),
        ("LOC", "paris"),
        ("LOC", "london"),
    ]
    words = text.split()
    assert spans(task.tag([words])[0]) == [
        ("PER", "john smith smith smith smith", 10, 15),
        ("LOC", "paris", 16, 17),
        ("LOC", "london", 67, 68),
    ]


@pytest.mark.parametrize("strategy", ["none", "simple", "first", "average", "max"])
def test_a_long_text_has_the_entities_of_a_limit_that_is_longer(strategy: str) -> None:
    text = "the john smith playsing doging in paris " * 9
    whole = Tagging(Tokenizer(make_tokenizer().to_str(), 200), LABELS, strategy)
    table = tagging_table(LABELS, TAGS)
    for item in (text, text.split()):
        expected = answers(whole, [item], table, per_token=True)
        assert Model().tag([item], aggregation_strategy=strategy) == expected


@pytest.mark.parametrize(
    ("strategy", "found"),
    [
        ("simple", [("PER", "##ing")]),
        ("first", []),
        ("max", [("PER", "doging")]),
        ("average", [("PER", "doging")]),
    ],
)
def test_strategies_label_words_as_wholes(strategy: str, found: list[tuple[str, str]]) -> None:
    model = Model()
    model.table[VOCABULARY["##ing"], 2] = 9
    assert [s[:2] for s in spans(model.tag("the doging", aggregation_strategy=strategy))] == found


def test_the_longer_one_of_overlapping_entities_stays(task: Model) -> None:
    text = "the " * 9 + "john smith smith smith smith smith"
    assert [s[:2] for s in spans(task.tag(text, stride=2))] == [("PER", "john smith smith smith smith")]
    assert [s[:2] for s in spans(task.tag(text, stride=6))] == [("PER", "john smith smith smith smith smith")]


@pytest.mark.parametrize(
    ("stride", "strategy", "message"),
    [
        (62, "simple", "0 to 61"),
        (-1, "simple", "stride is -1"),
        (True, "simple", "stride is True"),
        (8, "none", "leave stride out"),
    ],
)
def test_a_stride_that_makes_no_sense_is_refused(
    tagger: bertc.Tagger, stride: Any, strategy: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        tagger.tag("john", stride=stride, aggregation_strategy=strategy)


@pytest.mark.parametrize("options", [{}, {"stride": 5}, {"aggregation_strategy": "average"}])
def test_a_long_text_has_the_same_entities_in_any_batch(
    tagger: bertc.Tagger, options: dict[str, Any]
) -> None:
    texts = ["john smith is in paris " * n for n in (1, 40, 7, 90, 13)]
    every = {**options, "ignore_labels": ()}
    assert tagger.tag(texts, **every) == [tagger.tag(text, **every) for text in texts]
