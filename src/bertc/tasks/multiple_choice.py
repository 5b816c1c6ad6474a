"""The choice that fits a prompt best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise
from typing import Any

import numpy as np

from bertc.encoder import Encoder
from bertc.errors import InputError
from bertc.runtime.batching import FloatArray
from bertc.runtime.tokenization import Tokenizer
from bertc.tasks.drive import drive
from bertc.tasks.task import Prepared, softmax

Choice = dict[str, Any]
"""One of a prompt's choices: ``{"choice": str, "index": int, "score": float}``."""


@dataclass(frozen=True)
class MultipleChoice:
    """The task of ordering the choices of each prompt by how well they fit."""

    tokenizer: Tokenizer
    output: str = "logits"

    def prepare(self, items: Sequence[Any], *, first: int = 0) -> Prepared[Sequence[Any]]:
        """Return a batch with a sequence for each choice of each item, a prompt and its choices."""
        del first  # ``choose`` has checked the items
        tokenized = self.tokenizer([(prompt, choice) for prompt, choices in items for choice in choices])
        return Prepared(tokenized.packed, items, tokenized.truncated)

    def finish(self, prepared: Prepared[Sequence[Any]], values: FloatArray) -> list[list[Choice]]:
        """Return the choices of each prompt, best first, with their probabilities."""
        items = prepared.context
        bounds = accumulate((len(choices) for _, choices in items), initial=0)
        answers = []
        for (_, choices), (begin, end) in zip(items, pairwise(bounds), strict=True):
            scores = softmax(values[begin:end, 0])
            order = np.argsort(-scores, kind="stable").tolist()
            answers.append([{"choice": choices[i], "index": i, "score": float(scores[i])} for i in order])
        return answers


class Chooser(Encoder):
    """A loaded model that chooses the text that fits best."""

    def choose(self, prompt: Any, choices: Any, *, show_progress_bar: bool | None = None) -> Any:
        """Return the choices, best first: dicts of choice, index (its place in ``choices``) and score.

        The scores are probabilities over the choices of a prompt. A list of prompts with a list of lists of
        choices gives a list of answers. Raises ``InputError``, also for a prompt without choices.
        """
        single = isinstance(prompt, str)
        items = [(prompt, choices)] if single else _items(prompt, choices)
        for index, item in enumerate(items):
            _check(item, "" if single else f"[{index}]")
        task = MultipleChoice(self.tokenizer)
        answers = list(
            chain.from_iterable(drive(self, task, items, method="choose", show_progress=show_progress_bar))
        )
        return answers[0] if single else answers


def _items(prompts: Any, choices: Any) -> list[tuple[Any, Any]]:
    for name, value in (("prompt", prompts), ("choices", choices)):
        if not isinstance(value, (list, tuple)):
            raise InputError(f"{name} is {type(value).__name__}: expected a text, or a list of them")
    if len(prompts) != len(choices):
        raise InputError(
            f"there are {len(prompts)} prompts and {len(choices)} lists of choices: expected a list for each"
        )
    return list(zip(prompts, choices, strict=True))


def _check(item: tuple[Any, Any], index: str) -> None:
    prompt, choices = item
    if not isinstance(prompt, str):
        raise InputError(f"prompt{index} is {type(prompt).__name__}: expected a text")
    if not isinstance(choices, (list, tuple)):
        raise InputError(f"choices{index} are {type(choices).__name__}: expected a list of texts")
    if not choices:
        raise InputError(f"choices{index} are empty: there is nothing to choose from")
    odd = [type(choice).__name__ for choice in choices if not isinstance(choice, str)]
    if odd:
        raise InputError(f"choices{index} are a list that holds {odd[0]}: expected texts alone")
