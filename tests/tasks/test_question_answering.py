"""Answers against the rules of transformers 4's pipeline, stated once more on transformers' own logits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import bertc
from bertc.errors import InputError
from bertc.tasks.question_answering import QuestionAnswering
from tests.support.answers import MAX_SEQ_LENGTH, VOCABULARY, answers, tokenizer
from tests.support.hf_checkpoints import byte_level_tokenizer, load_fp32, load_transformers, save_checkpoint
from tests.support.multilingual import SENTENCES, TEXTS

Array = np.ndarray[Any, Any]
Window = tuple[Any, Array, Array]
"""An encoding of the tokenizers library, its start logits and its end logits."""

FAMILIES = ("Bert", "Roberta")
PAIRS = [(SENTENCES[i % len(SENTENCES)][:12], text) for i, text in enumerate(TEXTS)]


class Reference:
    """The pipeline of transformers 4 with a fast tokenizer, in plain loops."""

    def __init__(self, model: Any, tokenizer: Any, max_seq_len: int) -> None:
        self.model, self.tokenizer, self.max_seq_len = model, tokenizer, max_seq_len

    def windows(self, question: str, context: str, doc_stride: int) -> Iterator[Window]:
        torch = pytest.importorskip("torch")
        encoded = self.tokenizer(
            question,
            context,
            truncation="only_second",
            max_length=self.max_seq_len,
            stride=doc_stride,
            return_overflowing_tokens=True,
            padding=True,
            return_tensors="pt",
        )
        encoded.pop("overflow_to_sample_mapping")
        with torch.no_grad():
            output = self.model(**encoded)
        columns = output.start_logits.numpy(), output.end_logits.numpy()
        yield from zip(encoded.encodings, *columns, strict=True)

    @staticmethod
    def answer(
        windows: list[Window],
        context: str,
        *,
        top_k: int = 1,
        max_answer_len: int = 15,
        handle_impossible_answer: bool = False,
        align_to_words: bool = True,
    ) -> list[dict[str, Any]]:
        """The answers to one question, best first."""
        null_score = 1e6
        found: list[dict[str, Any]] = []
        for encoding, start, end in windows:
            # What the pipeline masks, padding included, has a probability of 0.
            allowed = np.array([sequence == 1 for sequence in encoding.sequence_ids])
            counted = allowed | (np.arange(len(allowed)) == 0)
            start, end = (probabilities(np.where(counted, each, -10000)) for each in (start, end))
            null_score = min(null_score, float(start[0] * end[0]))
            start[0] = end[0] = 0
            table = np.tril(np.triu(np.outer(start, end)), max_answer_len - 1)
            for flat in np.argsort(-table, axis=None, kind="stable")[:top_k]:
                first, last = np.unravel_index(flat, table.shape)
                if table[first, last] == 0:
                    continue
                a, b = encoding.offsets[first][0], encoding.offsets[last][1]
                if align_to_words:
                    words = encoding.word_ids
                    in_first = [i for i in np.flatnonzero(allowed) if words[i] == words[first]]
                    in_last = [i for i in np.flatnonzero(allowed) if words[i] == words[last]]
                    a, b = encoding.offsets[in_first[0]][0], encoding.offsets[in_last[-1]][1]
                text = context[a:b]
                same = [each for each in found if each["answer"].lower() == text.lower()]
                if same:
                    same[0]["score"] += float(table[first, last])
                else:
                    score = float(table[first, last])
                    found.append({"score": score, "start": a, "end": b, "answer": text})
        if handle_impossible_answer:
            found.append({"score": null_score, "start": 0, "end": 0, "answer": ""})
        return sorted(found, key=lambda each: each["score"], reverse=True)[:top_k]


def probabilities(logits: Array) -> Array:
    exponentials = np.exp(logits.astype(np.float32) - logits.max())
    return np.asarray(exponentials / exponentials.sum())


@pytest.fixture(scope="module", params=FAMILIES)
def models(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A tiny model, and the pipeline for the same checkpoint."""
    name = f"{request.param}ForQuestionAnswering"
    special: dict[str, Any] = {}
    if request.param == "Roberta":
        special = {"tokenizer": byte_level_tokenizer(TEXTS), "vocab_size": 320, "type_vocab_size": 1}
    path = tmp_path_factory.mktemp(request.param) / "model"
    save_checkpoint(path, name, max_position_embeddings=130, **special)
    ours = load_fp32(path)
    assert isinstance(ours, bertc.QuestionAnswerer)
    return ours, Reference(*load_transformers(path, name), ours.info.max_seq_length)


@pytest.fixture(scope="module")
def windows(models: Any) -> list[list[Window]]:
    """The windows of all pairs at the pipeline's own stride, with the logits of transformers."""
    reference = models[1]
    stride = min(reference.max_seq_len // 2, 128)
    return [list(reference.windows(*pair, stride)) for pair in PAIRS]


def assert_same(found: Any, expected: list[dict[str, Any]]) -> None:
    answers = [found] if isinstance(found, dict) else found
    assert [list(each) for each in answers] == [["score", "start", "end", "answer"]] * len(answers)
    assert [each["answer"] for each in answers] == [each["answer"] for each in expected]
    assert [(each["start"], each["end"]) for each in answers] == [
        (each["start"], each["end"]) for each in expected
    ]
    assert [each["score"] for each in answers] == pytest.approx([e["score"] for e in expected], abs=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"top_k": 5},
        {"top_k": 3, "align_to_words": False},
        {"max_answer_len": 3, "handle_impossible_answer": True},
        {"top_k": 4, "max_answer_len": 400, "handle_impossible_answer": True},
    ],
    ids=str,
)
def test_answers_are_those_of_the_pipeline(
    models: Any, windows: list[list[Window]], options: dict[str, Any]
) -> None:
    ours, reference = models
    assert len(PAIRS) == 50 and max(map(len, windows)) > 4
    found = ours.answer(*map(list, zip(*PAIRS, strict=True)), **options)
    for (_, context), answer, each in zip(PAIRS, found, windows, strict=True):
        assert_same(answer, reference.answer(each, context, **options))


def test_windows_share_the_stride_that_is_asked_for(models: Any) -> None:
    ours, reference = models
    for stride in (0, 5):
        reference.max_seq_len = 60
        for question, context in PAIRS[20::6]:
            expected = reference.answer(list(reference.windows(question, context, stride)), context)
            found = ours.answer(question, context, max_seq_len=60, doc_stride=stride)
            assert_same(found, expected)
    reference.max_seq_len = ours.info.max_seq_length


def test_one_question_has_the_same_bits_alone_and_in_a_batch(models: Any) -> None:
    ours = models[0]
    together = ours.answer(*map(list, zip(*PAIRS, strict=True)), top_k=3)
    assert [ours.answer(*pair, top_k=3) for pair in PAIRS[::5]] == together[::5]


def test_questions_come_as_texts_lists_or_dicts(models: Any) -> None:
    ours, pair = models[0], ("who plays", "the dog plays the piano")
    answer = ours.answer(*pair)
    keys = {"question": pair[0], "context": pair[1]}
    assert isinstance(answer, dict)
    assert answer["answer"] == pair[1][answer["start"] : answer["end"]]
    assert ours.answer(keys) == answer
    assert ours.answer([keys, keys]) == ours.answer([pair[0]] * 2, pair[1]) == [answer, answer]
    assert ours.answer([pair[0]], [pair[1]]) == ours.answer([keys]) == [answer]
    assert ours.answer([], []) == ours.answer([]) == []
    assert isinstance(ours.answer(*pair, top_k=2), list)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("", "a text"), r"question\[0\] is empty"),
        ((["who", " \n"], "a text"), r"question\[1\] is empty"),
        ((["who", "what"], ["a text", ""]), r"context\[1\] is empty"),
        ((["who"], ["a", "b"]), "1 of question and 2 of context"),
        (("who",), "no context"),
        ((["who"],), "no context"),
        (({"question": "who"},), r"inputs\[0\] has the keys \['question'\]"),
        (([{"question": "who", "context": 3}],), r"context\[0\] is int"),
        ((3, "a text"), "question is int"),
        ((["who", None], "a text"), r"question\[1\] is NoneType"),
        ((("who", "what"), {"a": 1}), "context is dict"),
    ],
)
def test_bad_questions_are_named(models: Any, arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        models[0].answer(*arguments)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("top_k", 0),
        ("top_k", True),
        ("max_answer_len", 0),
        ("max_answer_len", 1.5),
        ("max_question_len", 0),
        ("max_seq_len", 0),
        ("max_seq_len", 1000),
        ("doc_stride", -1),
        ("doc_stride", 64),
    ],
)
def test_bad_options_are_named(models: Any, name: str, value: Any) -> None:
    options = {"max_seq_len": 64, name: value}
    with pytest.raises(InputError, match=f"{name} is {value}"):
        models[0].answer("who", "a text", **options)


def test_a_long_question_is_cut_and_one_that_fills_the_limit_is_refused(models: Any) -> None:
    ours = models[0]
    limit = ours.info.max_seq_length
    context = "a dog plays the piano " * 20
    cut = ours.answer("the " * 200, context, max_question_len=9)
    assert cut == ours.answer("the " * 300, context, max_question_len=9)
    assert cut != ours.answer("the " * 300, context, max_question_len=3)
    with pytest.raises(InputError, match=rf"inputs\[1\]: .*leave no room .*limit is {limit}"):
        ours.answer(["who", "the " * 200], "a dog", max_question_len=limit)


def test_tokens_are_counted_as_windows_have_them(models: Any, windows: list[list[Window]]) -> None:
    counts = models[0].count_tokens(PAIRS, truncate=False)
    assert counts.tokens == sum(sum(encoding.attention_mask) for each in windows for encoding, *_ in each)
    assert counts.truncated == 0
    cut = models[0].count_tokens(PAIRS)
    assert cut.truncated > 0 and cut.tokens < counts.tokens


def ask(question: str, context: str, logits: dict[str, tuple[float, float]], **options: Any) -> Any:
    """The answer of a model whose logits of start and end are those of the token itself."""
    table = np.zeros((len(VOCABULARY), 2))
    for token, row in logits.items():
        table[VOCABULARY[token]] = row
    options = {"max_seq_len": MAX_SEQ_LENGTH, "doc_stride": 2, **options}
    task = QuestionAnswering(tokenizer(), **options)
    return answers(task, [(question, context)], table, per_token=True)[0]


def test_an_answer_is_of_the_context_and_not_too_long() -> None:
    logits = {"one": (9.0, 9.0), "dog": (5.0, 0.0), "piano": (0.0, 5.0)}
    context = "the dog plays the piano"
    assert ask("one", context, logits)["answer"] == "dog plays the piano"
    assert ask("one", context, logits, max_answer_len=3)["answer"] != "dog plays the piano"
    backwards = {"piano": (5.0, 0.0), "dog": (0.0, 5.0)}
    found = ask("the", context, backwards, top_k=100)
    assert all(each["start"] < each["end"] for each in found)


def test_there_are_no_more_answers_than_spans() -> None:
    found = ask("the", "dog cat", {"dog": (1.0, 0.0)}, top_k=10)
    assert sorted(each["answer"] for each in found) == ["cat", "dog", "dog cat"]
    assert ask("the", "dog", {}, top_k=10) == [
        {"score": pytest.approx(0.25), "start": 0, "end": 3, "answer": "dog"}
    ]


def test_scores_of_one_text_in_several_places_are_added_up() -> None:
    context = "dog is a Dog"
    one = ask("the", context, {"dog": (9.0, 9.0)}, max_answer_len=1)
    both = ask("the", context, {"dog": (9.0, 9.0)}, max_answer_len=1, top_k=2)
    assert one["score"] == pytest.approx(0.25, rel=1e-2)
    assert [(each["answer"], each["start"]) for each in both] == [("dog", 0)]
    assert both[0]["score"] == pytest.approx(0.5, rel=1e-2)


def test_an_impossible_answer_is_empty_and_of_the_least_sure_window() -> None:
    sure = {"[CLS]": (9.0, 9.0)}
    empty = ask("the", "dog plays", sure, handle_impossible_answer=True)
    assert (empty["answer"], empty["start"], empty["end"]) == ("", 0, 0)
    assert empty["score"] > 0.99
    assert ask("the", "dog plays", sure)["answer"] != ""
    long = "cat " * 20 + "dog"
    both = ask("the", long, {"[CLS]": (3.0, 3.0), "dog": (9.0, 9.0)}, handle_impossible_answer=True)
    assert both["answer"] == "dog"


def test_a_context_without_a_token_has_no_answer() -> None:
    found = ask("the", "\u200b\u0007", {})
    assert found == {"score": pytest.approx(1), "start": 0, "end": 0, "answer": ""}


def test_a_piece_of_a_word_is_widened_to_the_word() -> None:
    logits = {"##ing": (9.0, 9.0)}
    assert ask("the", "a dog walking", {**logits})["answer"] == "walking"
    assert ask("the", "a dog walking", logits, align_to_words=False)["answer"] == "ing"
