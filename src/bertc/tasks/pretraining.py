"""Both tasks that BERT was trained with: masked words, and whether a text follows another."""

from __future__ import annotations

from bertc.ports import SEQUENCES
from bertc.tasks.masked_lm import MaskFiller
from bertc.tasks.next_sentence import NextSentencePredictor


class PretrainedModel(MaskFiller, NextSentencePredictor):
    """A loaded model with both heads of BERT's pretraining."""

    _predictions = "prediction_logits"

    @property
    def _relationship(self) -> str:
        return next(port.name for port in self.session.outputs if port.rows == SEQUENCES)
