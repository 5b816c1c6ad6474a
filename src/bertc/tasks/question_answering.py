"""Answers to questions, found in texts of any length, in the shape of the ``question-answering`` pipeline."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from bertc.encoder import Encoder
from bertc.errors import InputError
from bertc.runtime.batching import FloatArray, windows
from bertc.runtime.items import as_items
from bertc.runtime.tokenization import TokenCounts, Tokenizer
from bertc.tasks.arguments import as_pairs, check_count
from bertc.tasks.drive import drive
from bertc.tasks.task import Prepared, softmax
from bertc.tasks.token_classification import TokenizedItems

if TYPE_CHECKING:
    from tokenizers import Encoding

Answer = dict[str, Any]
"""An answer: ``{"score": float, "start": int, "end": int, "answer": str}``, where ``answer`` is
``context[start:end]``."""

MAX_SEQ_LEN = 384
"""The tokens of a window, where neither the caller nor the model wants fewer."""
DOC_STRIDE = 128
"""The tokens that a window shares with the one before, where the caller does not say it."""


@dataclass(frozen=True)
class QuestionAnswering:
    """The task of finding the best answers to each question in its context, with the pipeline's options."""

    tokenizer: Tokenizer
    max_seq_len: int
    doc_stride: int
    max_question_len: int = 64
    top_k: int = 1
    max_answer_len: int = 15
    handle_impossible_answer: bool = False
    align_to_words: bool = True
    output: str = "logits"

    def prepare(self, items: Sequence[Any], *, first: int = 0) -> Prepared[TokenizedItems]:
        """Return a batch with a sequence for each window of each pair: a question and its context.

        Raises ``InputError`` that names a question or a context that is empty.
        """
        for index, (question, context) in enumerate(items, first):
            for name, text in (("question", question), ("context", context)):
                if not text.strip():
                    raise InputError(f"{name}[{index}] is empty: there is nothing to answer")
        tokenized, owners = self.tokenizer.windows(
            items,
            limit=self.max_seq_len,
            overlap=self.doc_stride,
            first_limit=self.max_question_len,
            first=first,
        )
        return Prepared(tokenized.packed, TokenizedItems(items, tokenized.encodings, owners))

    def finish(self, prepared: Prepared[TokenizedItems], values: FloatArray) -> list[Answer | list[Answer]]:
        """Return an answer for each question; a list of answers, unless ``top_k`` is 1."""
        context = prepared.context
        found: list[list[Answer]] = [[] for _ in context.items]
        null_scores = [math.inf] * len(found)
        begin = 0
        for encoding, owner in zip(context.encodings, context.owners, strict=True):
            logits = values[begin : begin + len(encoding)]
            answers, null_score = self._answers(encoding, logits, context.items[owner][1])
            found[owner].extend(answers)
            null_scores[owner] = min(null_scores[owner], null_score)
            begin += len(encoding)
        return [self._best(*each) for each in zip(found, null_scores, strict=True)]

    def _answers(self, encoding: Encoding, logits: FloatArray, text: str) -> tuple[list[Answer], float]:
        """Return the best answers of a window, and the probability that it has none: that of its first token.

        Start and end have probabilities over the tokens of the context and the first token, which is special.
        """
        sequences = encoding.sequence_ids
        if 1 not in sequences:
            return [], 1.0
        offset = sequences.index(1)
        null = encoding.special_tokens_mask[0]
        rows = [logits[:null], logits[offset : offset + sequences.count(1)]]
        start, end = softmax(np.concatenate(rows).T)
        spans = _best_spans(start[null:], end[null:], self.top_k, self.max_answer_len)
        answers = []
        for first, last, score in spans:
            a, b = self._characters(encoding, offset + first, offset + last)
            answers.append({"score": score, "start": a, "end": b, "answer": text[a:b]})
        return answers, float(start[0] * end[0]) if null else 0.0

    def _characters(self, encoding: Encoding, first: int, last: int) -> tuple[int, int]:
        """Return the place of a span of tokens in the context; that of whole words, if they are wanted."""
        words = [word for token in (first, last) if (word := encoding.token_to_word(token)) is not None]
        if self.align_to_words and len(words) == 2:
            begin, end = (encoding.word_to_chars(word, 1) for word in words)
            if begin is not None and end is not None:
                return begin[0], end[1]
        return encoding.offsets[first][0], encoding.offsets[last][1]

    def _best(self, found: Iterable[Answer], null_score: float) -> Answer | list[Answer]:
        """Return the best of all windows' answers; the scores of those of one text are added up."""
        merged: dict[str, Answer] = {}
        for answer in found:
            same = merged.setdefault(answer["answer"].lower(), answer)
            if same is not answer:
                same["score"] += answer["score"]
        answers = list(merged.values())
        if self.handle_impossible_answer or not answers:
            answers.append({"score": null_score, "start": 0, "end": 0, "answer": ""})
        answers = sorted(answers, key=lambda answer: -answer["score"])[: self.top_k]
        return answers[0] if self.top_k == 1 else answers


class QuestionAnswerer(Encoder):
    """A loaded model that answers questions from texts."""

    def answer(
        self,
        question: Any,
        context: Any = None,
        *,
        top_k: int = 1,
        max_answer_len: int = 15,
        max_seq_len: int | None = None,
        doc_stride: int | None = None,
        max_question_len: int = 64,
        handle_impossible_answer: bool = False,
        align_to_words: bool = True,
        show_progress_bar: bool | None = None,
    ) -> Any:
        """Return the answer to each question that its context holds: a dict of score, start, end, answer.

        ``question`` and ``context`` are texts, or lists of texts (one text beside a list belongs to each of
        it), or ``question`` is a dict with both keys, or a list of such dicts. Lists give a list. With
        ``top_k`` above 1 an answer is a list of at most that many, best first.

        The rules are those of the pipeline of ``transformers`` 4. ``start`` and ``end`` count characters. An
        answer has at most ``max_answer_len`` tokens, and is widened to whole words unless ``align_to_words``
        is False; its score is the probability of its start times that of its end, a sum over all the places
        of one text. A context that does not fit ``max_seq_len`` tokens with its question (by default 384, or
        the model's limit if that is less) is read in windows that share ``doc_stride`` tokens (by default
        128, or half of ``max_seq_len`` if that is less); a question is cut after ``max_question_len``
        tokens. With ``handle_impossible_answer`` an empty answer says that the context has none.

        Raises ``InputError`` that names what is wrong, such as an empty question or context.
        """
        check_count("top_k", top_k)
        check_count("max_answer_len", max_answer_len)
        check_count("max_question_len", max_question_len)
        task = QuestionAnswering(
            self.tokenizer,
            *self._window(max_seq_len, doc_stride),
            max_question_len,
            top_k,
            max_answer_len,
            handle_impossible_answer,
            align_to_words,
        )
        pairs, single = _pairs(question, context)
        answers = list(
            chain.from_iterable(drive(self, task, pairs, method="answer", show_progress=show_progress_bar))
        )
        return answers[0] if single else answers

    def count_tokens(self, inputs: Any, *, truncate: bool = True) -> TokenCounts:
        """Count as :meth:`Encoder.count_tokens` does; without ``truncate`` as ``answer`` sees pairs.

        A pair is a question and its context, cut into windows, each with its special tokens.
        """
        if truncate:
            return super().count_tokens(inputs)
        pairs, _ = as_items(inputs)
        for index, pair in enumerate(pairs):
            if not isinstance(pair, tuple) or [isinstance(each, str) for each in pair] != [True, True]:
                raise InputError(f"inputs[{index}] is {pair!r:.80}: expected a question with its context")
        task = QuestionAnswering(self.tokenizer, *self._window(None, None))
        parts = (task.prepare(part) for part in windows(pairs))
        return TokenCounts(sum(int(part.batch.cu_seqlens[-1]) for part in parts), 0)

    def _window(self, max_seq_len: int | None, doc_stride: int | None) -> tuple[int, int]:
        """Return the tokens of a window, and those that it shares with the one before."""
        limit = self.info.max_seq_length
        size = min(limit, MAX_SEQ_LEN) if max_seq_len is None else max_seq_len
        check_count("max_seq_len", size)
        if size > limit:
            raise InputError(f"max_seq_len is {size}: this model's limit is {limit} tokens")
        stride = min(size // 2, DOC_STRIDE) if doc_stride is None else doc_stride
        check_count("doc_stride", stride, 0)
        if stride >= size:
            raise InputError(f"doc_stride is {stride}: windows of {size} tokens must share fewer")
        return size, stride


def _best_spans(start: FloatArray, end: FloatArray, top_k: int, longest: int) -> list[tuple[int, int, float]]:
    """Return the best spans of at most ``longest`` tokens: first token, last token, score; best first.

    ``start`` and ``end`` [tokens] are probabilities, whose product is the score.
    """
    count = len(end)
    firsts = np.arange(count)[:, None]
    lasts = firsts + np.arange(min(longest, count))
    scores = np.where(lasts < count, start[:, None] * end[np.minimum(lasts, count - 1)], -1)
    order = [scores.argmax()] if top_k == 1 else np.argsort(-scores, axis=None, kind="stable")[:top_k]
    found = zip(*np.unravel_index(order, scores.shape), strict=True)
    return [(int(a), int(a + b), float(scores[a, b])) for a, b in found if scores[a, b] >= 0]


def _pairs(question: Any, context: Any) -> tuple[list[tuple[str, str]], bool]:
    """Return questions with their contexts, and whether the caller asked one question."""
    if context is not None:
        return as_pairs(question, context, ("question", "context"))
    single = isinstance(question, dict)
    items = [question] if single else question
    if not isinstance(items, (list, tuple)) or not all(isinstance(item, dict) for item in items):
        raise InputError("there is no context: pass question and context, or dicts with these two keys")
    for index, item in enumerate(items):
        if set(item) != {"question", "context"}:
            raise InputError(
                f"inputs[{index}] has the keys {sorted(map(str, item))}: expected question and context"
            )
    questions, contexts = ([item[name] for item in items] for name in ("question", "context"))
    return as_pairs(questions, contexts, ("question", "context"))[0], single
