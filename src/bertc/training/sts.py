"""Sentence similarity: an embedder whose cosines are the scores of pairs, as sentence-transformers has it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertc.errors import InputError
from bertc.evaluation.sts import Similarity, read
from bertc.training.classify import encode_texts
from bertc.training.objective import Batch, Feature, Objective, token_sequence

BENCHMARK_SCALE = 5.0
"""The highest score of the STS benchmark."""
_POOLINGS = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens")


@dataclass(frozen=True)
class Similarities(Objective):
    """The squared difference of the cosine of two sentences, pooled by the mean, and their score."""

    auto_class = "AutoModel"
    learning_rate = 2e-5

    def evaluator(self) -> Similarity:
        """Return the evaluator of ``bertc eval sts``."""
        return Similarity()

    def features(self, tokenizer: Any, length: int) -> list[Feature]:
        """Return both sentences of each pair, and their score as a cosine."""
        pairs = read(self.settings.data)
        scores = [pair.score for pair in pairs]
        scale = score_scale(scores, self.settings.data)
        firsts, seconds = (
            encode_texts(tokenizer, texts, length)
            for texts in ([pair.first for pair in pairs], [pair.second for pair in pairs])
        )
        return [
            Feature((token_sequence(firsts, index), token_sequence(seconds, index)), score / scale)
            for index, score in enumerate(scores)
        ]

    def loss(self, model: Any, batch: Batch) -> Any:
        """Return the mean squared error."""
        import torch

        hidden = model(**batch.inputs).last_hidden_state
        mask = batch.inputs["attention_mask"].unsqueeze(-1).to(hidden.dtype)
        firsts, seconds = ((hidden * mask).sum(dim=1) / mask.sum(dim=1)).chunk(2)
        cosines = torch.nn.functional.cosine_similarity(firsts, seconds)
        targets = torch.tensor(batch.targets, dtype=cosines.dtype, device=cosines.device)
        return torch.nn.functional.mse_loss(cosines, targets)

    def config(self) -> dict[str, Any]:
        """Return nothing: there is no head."""
        return {}

    def finish_folder(self, folder: Path, length: int, hidden: int) -> None:
        """Make it a folder of sentence-transformers, which pools by the mean."""
        modules = [
            {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for index, (path, kind) in enumerate((("", "Transformer"), ("1_Pooling", "Pooling")))
        ]
        pooling = {f"pooling_mode_{name}": name == "mean_tokens" for name in _POOLINGS}
        files = {
            "modules.json": modules,
            "sentence_bert_config.json": {"max_seq_length": length, "do_lower_case": False},
            "1_Pooling/config.json": {"word_embedding_dimension": hidden, **pooling},
        }
        for name, content in files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(json.dumps(content, indent=2), encoding="utf-8")


def score_scale(scores: list[float], path: str) -> float:
    """Return the score that means a cosine of 1: 1, else 5 as of the STS benchmark, else the highest score.

    Raises ``InputError`` for scores below -1, which are no cosines by any of these.
    """
    if min(scores) < -1:
        raise InputError(f"{path}: the score {min(scores):g} is below -1, and no cosine is: rescale scores")
    highest = max(scores)
    return 1.0 if highest <= 1 else max(BENCHMARK_SCALE, highest)
