"""Question answering: where an answer begins and ends in windows of its context."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bertc.errors import InputError
from bertc.evaluation.question_answering import Answers, Question, read_with_starts
from bertc.training.objective import Batch, Feature, Objective, token_sequence

_CONTEXT = 1
"""Which of the two texts of a sequence the context is."""
_MORE_SPECIAL_TOKENS = 2
"""The most that a pair of texts takes beyond those of a text: RoBERTa has four, and BERT one less."""


@dataclass(frozen=True)
class FindAnswers(Objective):
    """Cross entropy of the first and of the last token of answers."""

    auto_class = "AutoModelForQuestionAnswering"
    suffix = "ForQuestionAnswering"
    max_length = 384

    labels: tuple[str, ...] = ("LABEL_0", "LABEL_1")
    """The head's outputs, which have no names: begin and end."""

    def evaluator(self) -> Answers:
        """Return the evaluator of ``bertc eval qa``."""
        return Answers()

    def features(self, tokenizer: Any, length: int) -> list[Feature]:
        """Return the windows of contexts, and the first and last token of the answer.

        Both are token 0 in a window without the whole answer, and where people found none. Questions whose
        answers are not in their contexts are left out.
        """
        questions, spans = _answered(self.settings.data)
        longest = max(len(ids) for ids in tokenizer([each.question for each in questions])["input_ids"])
        room = length - longest - _MORE_SPECIAL_TOKENS
        if room <= self.settings.stride:
            raise InputError(
                f"{self.settings.data}: a question has {longest} tokens, which leaves {room} of {length} to "
                f"its context, and windows share {self.settings.stride}: raise --max-length, lower --stride"
            )
        encoded = tokenizer(
            [each.question for each in questions],
            [each.context for each in questions],
            truncation="only_second",
            max_length=length,
            stride=self.settings.stride,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        return [
            Feature((token_sequence(encoded, index),), _tokens_of(spans[owner], encoded, index))
            for index, owner in enumerate(encoded["overflow_to_sample_mapping"])
        ]

    def loss(self, model: Any, batch: Batch) -> Any:
        """Return the mean cross entropy of begins and ends."""
        import torch

        found = model(**batch.inputs)
        begins, ends = torch.tensor(batch.targets, device=found.start_logits.device).unbind(dim=1)
        loss = torch.nn.functional.cross_entropy
        return (loss(found.start_logits, begins) + loss(found.end_logits, ends)) / 2


def _answered(path: str) -> tuple[list[Question], list[tuple[int, int]]]:
    """Return the questions to train on, and the first answer's characters [begin, end), empty for none."""
    found = [(question, _span(question, starts)) for question, starts in read_with_starts(path)]
    kept = [(question, span) for question, span in found if span is not None]
    if not any(begin < end for _, (begin, end) in kept):
        raise InputError(f"{path}: no question has an answer that is in its context: nothing to learn")
    return [question for question, _ in kept], [span for _, span in kept]


def _span(question: Question, starts: Sequence[Any]) -> tuple[int, int] | None:
    if not question.answers:
        return 0, 0
    answer, context = question.answers[0], question.context
    start = starts[0] if starts else None
    if not isinstance(start, int) or context[start : start + len(answer)] != answer:
        start = context.find(answer)
    return None if start < 0 else (start, start + len(answer))


def _tokens_of(span: tuple[int, int], encoded: Any, index: int) -> tuple[int, int]:
    begin, end = span
    places = [
        (token, *offsets)
        for token, (text, offsets) in enumerate(
            zip(encoded.sequence_ids(index), encoded["offset_mapping"][index], strict=True)
        )
        if text == _CONTEXT
    ]
    if begin == end or not places or places[0][1] > begin or places[-1][2] < end:
        return 0, 0
    inside = [token for token, first, last in places if first < end and last > begin]
    return (inside[0], inside[-1]) if inside else (0, 0)
