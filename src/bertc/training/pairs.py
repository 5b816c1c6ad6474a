"""Pairs that belong together or not: a cross-encoder with one score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bertc.evaluation.pairs import PairDecisions
from bertc.training.classify import encode_texts
from bertc.training.objective import Batch, Feature, Objective, token_sequence


@dataclass(frozen=True)
class ScorePairs(Objective):
    """Binary cross entropy of the score of a pair."""

    auto_class = "AutoModelForSequenceClassification"
    suffix = "ForSequenceClassification"
    learning_rate = 2e-5

    labels: tuple[str, ...] = ("LABEL_0",)

    def evaluator(self) -> PairDecisions:
        """Return the evaluator of ``bertc eval pairs``, with the threshold that is best on the data."""
        return PairDecisions(None, self.settings.positive_from, self.settings.columns)

    def features(self, tokenizer: Any, length: int) -> list[Feature]:
        """Return a sequence for each pair, the longer text of it cut at its end, and its label."""
        pairs = self.evaluator().read(self.settings.data)
        encoded = encode_texts(tokenizer, [(pair.first, pair.second) for pair in pairs], length)
        return [Feature((token_sequence(encoded, index),), pair.label) for index, pair in enumerate(pairs)]

    def loss(self, model: Any, batch: Batch) -> Any:
        """Return the binary cross entropy."""
        import torch

        scores = model(**batch.inputs).logits[:, 0]
        targets = torch.tensor(batch.targets, dtype=scores.dtype, device=scores.device)
        return torch.nn.functional.binary_cross_entropy_with_logits(scores, targets)
