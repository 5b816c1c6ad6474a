"""Masked words: how probable a model finds the tokens of texts that it cannot see.

Data is a file of texts: a line each, or a table or ``.jsonl`` with a column ``text``. Blank ones are passed
over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np

from bertc.errors import InputError
from bertc.evaluation.engine import MaskScorer, token_counts
from bertc.evaluation.evaluator import Evaluator
from bertc.evaluation.evaluator import evaluate as run
from bertc.evaluation.result import Case, Outcomes, Result
from bertc.files.tables import check_ids
from bertc.files.texts import Record, read_texts

Array = np.ndarray[Any, Any]

SHARE = 0.15
"""The share of tokens that BERT was trained to find."""
_WRONG_ONES = 8
"""The wrong tokens that an answer tells of a text."""


@dataclass(frozen=True)
class MaskedWords(Evaluator[Record]):
    """Pseudo-perplexity (Salazar et al. 2020, arXiv:1910.14659) and accuracy of masked tokens."""

    metric = "pseudo_perplexity"

    share: float | None = SHARE
    """The share of each text's tokens that is masked at once; None masks every token alone."""
    seed: int = 0

    def read(self, path: str | PathLike[str]) -> Sequence[Record]:
        """Return all texts of a file."""
        records = [record for record in read_texts(path) if record.text.strip()]
        if not records:
            raise InputError(f"{path}: no texts")
        check_ids((str(each.id), f"{path}, record {number}") for number, each in enumerate(records, 1))
        return records

    def answer(self, engine: MaskScorer, samples: Sequence[Record]) -> Outcomes:
        """Return the tokens that were found. Raises ``InputError`` where no text has a token to mask."""
        texts = [sample.text for sample in samples]
        found = engine.score_masked(texts, share=self.share, seed=self.seed)
        rows = [
            (
                -each["log_probabilities"].sum(),
                (each["predicted"] == each["tokens"]).sum(),
                len(each["tokens"]),
            )
            for each in found
        ]
        statistics = np.array(rows, np.float64)
        tokens = statistics[:, 2]
        if not tokens.any():
            raise InputError("no text has a token that can be masked")
        share = "every token alone" if self.share is None else f"{100 * self.share:g} % of the tokens at once"
        return Outcomes(
            answers=[_in_words(engine, each) for each in found],
            goodness=-statistics[:, 0] / np.maximum(tokens, 1),
            statistics=statistics,
            counts={"masked": int(tokens.sum()), **token_counts(engine, texts)},
            facts={"masks": f"{share}, seed {self.seed}"},
        )

    def score(self, outcomes: Outcomes, weights: Array) -> dict[str, Array]:
        """Return e to the mean negative log probability of masked tokens, and the share of right ones."""
        losses, right, tokens = (weights @ outcomes.statistics).T
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            return {"pseudo_perplexity": np.exp(losses / tokens), "accuracy": 100 * right / tokens}

    def case(self, sample: Record) -> Case:
        """Return the text, which has the right words."""
        return Case(str(sample.id), sample.text, "the words of the text")


def evaluate(engine: MaskScorer, path: str | PathLike[str], *, seed: int | None = 0) -> Result:
    """Return pseudo-perplexity, and accuracy times 100, of 15 % of the tokens. Raises ``InputError``."""
    return run(MaskedWords(), engine, path, seed=seed)


def _in_words(engine: Any, found: Any) -> str:
    """Return how many tokens were found, and for some of the others what was found instead."""
    pairs = zip(found["tokens"].tolist(), found["predicted"].tolist(), strict=True)
    wrong = [(token, told) for token, told in pairs if token != told]
    count = len(found["tokens"])
    spell = engine.tokenizer.token if hasattr(engine, "tokenizer") else str
    told = ", ".join(f"{spell(b)} for {spell(a)}" for a, b in wrong[:_WRONG_ONES])
    return f"{count - len(wrong)} of {count}{': ' + told if told else ''}"
