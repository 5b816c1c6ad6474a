"""Labels and scores for texts and pairs: text classification, zero-shot classification and reranking.

Answers are in the shape of the ``text-classification`` and ``zero-shot-classification`` pipelines, and of the
``CrossEncoder`` of sentence-transformers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from bertc.artifact.schema import ModelInfo
from bertc.encoder import Encoder
from bertc.errors import InputError
from bertc.runtime.batching import FloatArray
from bertc.runtime.items import is_collection
from bertc.runtime.tokenization import TokenCounts, Tokenizer
from bertc.tasks.activations import activate
from bertc.tasks.arguments import check_choice, check_count
from bertc.tasks.containers import as_pairs_to_score, as_texts_and_pairs
from bertc.tasks.drive import drive
from bertc.tasks.task import Prepared
from bertc.tasks.zero_shot import DEFAULT_TEMPLATE, Candidates

Label = dict[str, Any]
"""A label and its score: ``{"label": str, "score": float}``."""

FUNCTIONS = ("none", "sigmoid", "softmax")
"""The functions that the pipeline can apply to logits."""


@dataclass(frozen=True)
class Scoring:
    """The task of giving each text or pair the model's logits."""

    tokenizer: Tokenizer
    keep_second: bool = False
    """Whether of a pair that is too long the first text alone is cut."""
    output: str = "logits"

    def prepare(self, items: Sequence[Any], *, first: int = 0) -> Prepared[None]:
        """Return a batch with a sequence for each item. Raises ``InputError`` for one without a token."""
        tokenized = self.tokenizer(items, first=first, keep_second=self.keep_second)
        if tokenized.empty:
            raise InputError(
                f"inputs[{first + tokenized.empty[0]}] has no token, so that there is nothing to classify"
            )
        return Prepared(tokenized.packed, None, tokenized.truncated)

    def finish(self, prepared: Prepared[None], values: FloatArray) -> FloatArray:
        """Return the logits [items, labels]."""
        del prepared
        return values


@dataclass(frozen=True)
class Classification:
    """The task of giving each text or pair its best labels, with their scores."""

    tokenizer: Tokenizer
    info: ModelInfo
    top_k: int | None = 1
    function_to_apply: str | None = None
    """One of ``FUNCTIONS``; None for the pipeline's choice."""
    output: str = "logits"

    def prepare(self, items: Sequence[Any], *, first: int = 0) -> Prepared[None]:
        """Return a batch with a sequence for each item. Raises ``InputError`` for one without a token."""
        return Scoring(self.tokenizer).prepare(items, first=first)

    def finish(self, prepared: Prepared[None], values: FloatArray) -> list[Any]:
        """Return a label for each item; a list of labels, unless ``top_k`` is 1."""
        del prepared
        function = self.function_to_apply or _function_of(self.info)
        return [self._answer(row) for row in activate(values, function)]

    def _answer(self, scores: FloatArray) -> Label | list[Label]:
        order = np.argsort(-scores, kind="stable")[: self.top_k]
        labels = [{"label": self.info.labels[i], "score": float(scores[i])} for i in order]
        return labels[0] if self.top_k == 1 else labels


class Classifier(Encoder):
    """A loaded model that gives texts and pairs of texts labels or scores."""

    def classify(
        self,
        inputs: Any,
        candidate_labels: str | Sequence[str] | None = None,
        *,
        top_k: int | None = 1,
        function_to_apply: str | None = None,
        hypothesis_template: str = DEFAULT_TEMPLATE,
        multi_label: bool = False,
        show_progress_bar: bool | None = None,
    ) -> Label | list[Label] | list[list[Label]]:
        """Return the best label of each text or pair: ``{"label": ..., "score": ...}``.

        A string, a tuple of two (a pair) or a dict of "text" and "text_pair" gives one answer, a list of
        these gives a list. With ``top_k`` above 1, an answer is a list of that many labels, best first;
        None means all labels. ``function_to_apply`` is "none", "sigmoid" or "softmax"; by default it is as
        in the pipeline: "none" for a regression, "sigmoid" where labels are independent or there is one,
        else "softmax".

        ``candidate_labels``, a list or a string with commas, asks a model of natural language inference for
        these labels instead: each makes a hypothesis by ``hypothesis_template``, and an answer is
        ``{"sequence": ..., "labels": [...], "scores": [...]}``, best first. With ``multi_label`` each
        label has a score of its own. Raises ``InputError``.
        """
        _check_top_k(top_k)
        if function_to_apply is not None:
            check_choice("function_to_apply", function_to_apply, FUNCTIONS)
        items, single = as_texts_and_pairs(inputs)
        answers: list[Any]
        if candidate_labels is None:
            if multi_label:
                raise InputError("multi_label is for candidate_labels: pass them too")
            task = Classification(self.tokenizer, self.info, top_k, function_to_apply)
            answers = list(
                chain.from_iterable(
                    drive(self, task, items, method="classify", show_progress=show_progress_bar)
                )
            )
        else:
            if top_k != 1 or function_to_apply is not None:
                raise InputError("top_k and function_to_apply are for the model's labels, not for candidates")
            candidates = Candidates.of(candidate_labels, hypothesis_template)
            pairs = candidates.pairs(items)
            scoring = Scoring(self.tokenizer, keep_second=True)
            found = list(drive(self, scoring, pairs, method="classify", show_progress=show_progress_bar))
            answers = candidates.answers(items, self._rows(found), self.info.labels, multi_label=multi_label)
        return answers[0] if single else answers

    def predict(
        self,
        inputs: Any = None,
        *,
        sentences: Any = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        activation_fn: Any = None,
        activation_fct: Any = None,
        apply_softmax: bool = False,
        convert_to_numpy: bool = True,
    ) -> Any:
        """Return the score of each pair: float32 [pairs], or [pairs, labels] for several labels.

        The names are those of ``CrossEncoder`` in sentence-transformers: ``sentences`` is another name for
        ``inputs``, ``activation_fct`` for ``activation_fn``. A list of two strings is one pair, which gives
        one score. ``activation_fn`` is "none" (raw logits), "sigmoid", "softmax", "tanh" or a function on
        the logits; by default it is what the checkpoint says, else "sigmoid" for one label and "none" for
        several. ``apply_softmax`` comes after it, for several labels. ``convert_to_numpy=False`` gives a
        list. ``batch_size`` changes no result. Raises ``InputError``.
        """
        if (inputs is None) == (sentences is None):
            raise InputError("predict needs inputs, or sentences, but not both")
        items, single = as_pairs_to_score(sentences if inputs is None else inputs)
        check_count("batch_size", batch_size)
        task = Scoring(self.tokenizer)
        found = list(
            drive(self, task, items, min_items=batch_size, method="predict", show_progress=show_progress_bar)
        )
        scores = self._activated(found, activation_fn, activation_fct)
        if apply_softmax and scores.ndim > 1:
            scores = activate(scores, "softmax")
        if single:
            return scores[0]
        return scores if convert_to_numpy else list(scores)

    def rank(
        self,
        query: str,
        documents: Sequence[str],
        top_k: int | None = None,
        return_documents: bool = False,
        *,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        activation_fn: Any = None,
        activation_fct: Any = None,
    ) -> list[dict[str, Any]]:
        """Return the documents by their scores for a query, best first: dicts of corpus_id and score.

        ``corpus_id`` is the place in ``documents``. ``top_k`` keeps the best ones; ``return_documents``
        adds each document as ``text``. No documents give an empty list. The other options are those of
        :meth:`predict`. Raises ``InputError``, also for a model of several labels.
        """
        if len(self.info.labels) != 1:
            raise InputError(
                f"rank is for models of one label, {self.info.name} has {len(self.info.labels)}: use predict"
            )
        _check_top_k(top_k)
        check_count("batch_size", batch_size)
        pairs = _paired(query, documents)
        task = Scoring(self.tokenizer)
        found = list(
            drive(self, task, pairs, min_items=batch_size, method="rank", show_progress=show_progress_bar)
        )
        scores = self._activated(found, activation_fn, activation_fct).tolist()
        order = sorted(range(len(scores)), key=lambda index: scores[index], reverse=True)[:top_k]
        texts = [{"text": pairs[index][1]} if return_documents else {} for index in order]
        return [
            {"corpus_id": index, "score": scores[index], **text}
            for index, text in zip(order, texts, strict=True)
        ]

    def count_tokens(self, inputs: Any, *, truncate: bool = True) -> TokenCounts:
        """Return how many tokens the model sees of texts and pairs, and how many of these are truncated."""
        return super().count_tokens(as_texts_and_pairs(inputs)[0], truncate=truncate)

    def _rows(self, found: Sequence[FloatArray]) -> FloatArray:
        """Return the logits of all windows as one array [items, labels]."""
        return np.concatenate([np.empty((0, len(self.info.labels)), np.float32), *found])

    def _activated(self, found: Sequence[FloatArray], activation_fn: Any, activation_fct: Any) -> FloatArray:
        if activation_fn is not None and activation_fct is not None:
            raise InputError("activation_fct is another name for activation_fn: pass one of them")
        default = self.info.facts.get("activation_fn", "sigmoid" if len(self.info.labels) == 1 else "none")
        chosen = next((each for each in (activation_fn, activation_fct) if each is not None), default)
        scores = activate(self._rows(found), chosen)
        return scores[:, 0] if len(self.info.labels) == 1 else scores


def _function_of(info: ModelInfo) -> str:
    """Return the name of the function that the pipeline applies to the logits of a model."""
    if info.problem_type == "regression":
        return "none"
    if info.problem_type == "multi_label_classification" or len(info.labels) == 1:
        return "sigmoid"
    return "softmax"


def _paired(query: Any, documents: Any) -> list[tuple[str, str]]:
    if not isinstance(query, str):
        raise InputError(f"query is {type(query).__name__}: expected a string")
    if not is_collection(documents) or isinstance(documents, (str, dict)):
        raise InputError(f"documents are {type(documents).__name__}: expected a list of strings")
    pairs = [(query, document) for document in documents]
    for index, (_, document) in enumerate(pairs):
        if not isinstance(document, str):
            raise InputError(f"documents[{index}] is {type(document).__name__}: expected a string")
    return pairs


def _check_top_k(top_k: Any) -> None:
    if top_k is not None and (not isinstance(top_k, int) or isinstance(top_k, bool) or top_k < 1):
        raise InputError(f"top_k is {top_k!r}: expected a positive whole number, or None for all")
