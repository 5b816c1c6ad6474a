"""What models of dense, sparse and token vectors have in common: the texts they take, prompts before them.

What an input means is decided as sentence-transformers 6 decides it: a string is one text; a list, a tuple or
any other iterable is a batch; an element of a batch is a text, or a tuple of two texts, which is a pair. A
list inside of a batch is refused, as it may be meant as a pair or as words.
"""

from __future__ import annotations

from typing import Any

from bertc.artifact.embedding_facts import EmbeddingFacts
from bertc.encoder import Encoder, count_tokens
from bertc.errors import InputError
from bertc.runtime.items import all_strings, describe, is_collection
from bertc.runtime.tokenization import TokenCounts, Tokenizer


class TextEncoder(Encoder):
    """A loaded model that turns texts into vectors of some kind."""

    _usual_similarity = "cosine"

    @property
    def facts(self) -> EmbeddingFacts:
        """How the model is called where callers do not say it, as its folder said."""
        return self.info.embedding

    @property
    def prompts(self) -> dict[str, str]:
        """What is put before texts, by ``prompt_name``; ``query`` and ``document`` are always there."""
        return self.facts.all_prompts

    @property
    def similarity_fn_name(self) -> str:
        """The function that ``similarity`` computes."""
        return self.facts.similarity_fn_name or self._usual_similarity

    def count_tokens(self, inputs: Any, *, truncate: bool = True) -> TokenCounts:
        """Count the tokens that the model sees of texts and pairs, and those inputs that are truncated.

        They have the default prompt before them, and the limit of what is neither query nor document.
        """
        items, _ = as_texts(inputs, self._prompt(None, None))
        return count_tokens(self._tokenizer_for(self._limit()), items, truncate=truncate)

    def _prompt(self, prompt: str | None, prompt_name: str | None, task: str = "") -> str:
        """The prompt of a call: its own, else the one it names, else the task's, else the model's default."""
        if prompt is not None:
            if not isinstance(prompt, str):
                raise InputError(f"prompt is {type(prompt).__name__}: expected a string")
            return prompt
        name = prompt_name or task or self.facts.default_prompt_name
        if name is None:
            return ""
        prompts = self.prompts
        if name not in prompts:
            raise InputError(
                f"prompt_name is {name!r}: {self.info.name} has the prompts {', '.join(map(repr, prompts))}"
            )
        return prompts[name]

    def _tokenizer_for(self, limit: int) -> Tokenizer:
        """The tokenizer that cuts at ``limit`` tokens."""
        return self.tokenizer if limit == self.info.max_seq_length else self.tokenizer.with_limit(limit)

    def _limit(self, task: str = "") -> int:
        return self.facts.max_lengths.get(task, self.info.max_seq_length)


def as_texts(inputs: Any, prompt: str = "") -> tuple[list[Any], bool]:
    """Texts and pairs with a prompt before them, and whether the caller passed one text alone.

    Raises ``InputError`` that names the index of an element that is neither.
    """
    if isinstance(inputs, str):
        return [prompt + inputs], True
    if not is_collection(inputs) or isinstance(inputs, dict):
        raise InputError(f"inputs are {type(inputs).__name__}: pass a string or a list of strings")
    return [_checked(item, index, prompt) for index, item in enumerate(inputs)], False


def _checked(item: Any, index: int, prompt: str) -> str | tuple[str, str]:
    if isinstance(item, str):
        return prompt + item
    if isinstance(item, tuple) and len(item) == 2 and all_strings(item):
        return (prompt + item[0], item[1])
    if isinstance(item, list):
        raise InputError(
            f"inputs[{index}] is a list, which may be a pair or words: write a pair as a tuple, "
            '[("a", "b")], and words as one text, ["a b"]'
        )
    raise InputError(
        f"inputs[{index}] is {describe(item)}: expected a string, or a tuple of two strings (a pair)"
    )
