"""The loop: epochs of steps, each decided by the seed and its number alone, so that a run can go on anywhere.

Nothing is kept between steps but the weights, the optimizer's moments and the number of the step: batches,
dropout and learning rates follow from these. So a run that was killed ends as one that was not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from bertc.errors import InputError
from bertc.runtime.progress import progress
from bertc.training.batches import Padding, collate, feature_length, make_batches
from bertc.training.objective import Feature, Objective
from bertc.training.run_folder import RunFolder
from bertc.training.settings import Settings

Metrics = Mapping[str, float]
LARGEST_GRADIENT = 1.0
"""The norm that gradients are clipped to, as BERT was trained."""


class Loop:
    """Training of one model, from its first step or from where it was saved."""

    def __init__(
        self,
        model: Any,
        objective: Objective,
        features: Sequence[Feature],
        padding: Padding,
        folder: RunFolder,
        *,
        save_minutes: float,
    ) -> None:
        """Restore what the folder has. Raises ``InputError`` if it is damaged."""
        self._settings: Settings = objective.settings
        self._objective, self._model = objective, model
        self._features, self._padding = features, padding
        self._folder, self._save_seconds = folder, 60 * save_minutes
        self._lengths = [feature_length(feature) for feature in features]
        self._per_epoch = math.ceil(len(features) / self._settings.batch_size)
        self._optimizer = _optimizer(model, self._settings)
        self.steps = 0
        """The steps that were taken."""
        self._loss = 0.0
        self.epochs: list[dict[str, Any]] = []
        """Each epoch that is over: its loss, metrics and seconds."""
        if (state := folder.restore()) is not None:
            model.load_state_dict(state["model"])
            self._optimizer.load_state_dict(state["optimizer"])
            self.steps, self._loss, self.epochs = state["step"], state["loss"], state["epochs"]
        self._saved = time.monotonic()

    def run(
        self, score: Callable[[int], Metrics], tell: Callable[[str], None], *, show_progress: bool
    ) -> None:
        """Train until the last epoch, or until early stopping; ``score`` scores the model after an epoch."""
        metric = self._objective.evaluator().metric
        if self.steps:
            tell(f"going on after step {self.steps} of {self._settings.epochs * self._per_epoch}")
        while not is_over(self.epochs, self._settings, metric):
            start = time.monotonic()
            number = len(self.epochs) + 1
            self._epoch(number, show_progress=show_progress)
            metrics = dict(score(number))
            seconds = time.monotonic() - start
            loss = self._loss / self._per_epoch
            self.epochs.append({"loss": loss, "metrics": metrics, "seconds": round(seconds, 1)})
            self._loss = 0.0
            best = best_epoch(self.epochs, metric)
            self._save(best)
            tell(
                f"epoch {number} of {self._settings.epochs}: loss {loss:.4f}, {metric} {metrics[metric]:.2f}"
                f"{' (best)' if best == number else ''}, {seconds:.0f} s"
            )

    def _epoch(self, number: int, *, show_progress: bool) -> None:
        """Take the steps of an epoch that were not taken before."""
        settings = self._settings
        batches = make_batches(self._lengths, settings.batch_size, settings.seed, number)
        device = next(self._model.parameters()).device
        first = self.steps - (number - 1) * self._per_epoch
        self._model.train()
        with progress(len(batches), f"epoch {number} of {settings.epochs}", enabled=show_progress) as advance:
            advance(first)
            for place, chosen in enumerate(batches[first:], first + 1):
                self._take_step(collate([self._features[index] for index in chosen], self._padding, device))
                advance(1)
                if place < len(batches) and time.monotonic() - self._saved >= self._save_seconds:
                    self._save(best_epoch(self.epochs, self._objective.evaluator().metric))

    def _take_step(self, batch: Any) -> None:
        import torch

        settings = self._settings
        seeds = np.random.SeedSequence([settings.seed, self.steps])
        torch.manual_seed(int(seeds.generate_state(1)[0]))  # of dropout
        for group in self._optimizer.param_groups:
            group["lr"] = self._learning_rate()
        loss = self._objective.loss(self._model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), LARGEST_GRADIENT)
        self._optimizer.step()
        self._optimizer.zero_grad()
        self.steps += 1
        self._loss += float(loss.detach())
        if not math.isfinite(self._loss):
            raise InputError(
                f"the loss of step {self.steps} is no finite number: begin again (--no-resume) with a lower "
                "--learning-rate"
            )

    def _learning_rate(self) -> float:
        """Return the rate of this step: rising in warm-up, then falling to 0."""
        settings, total = self._settings, self._settings.epochs * self._per_epoch
        warm = math.ceil(settings.warmup * total)
        rate = settings.learning_rate or self._objective.learning_rate
        if self.steps < warm:
            return rate * (self.steps + 1) / warm
        return rate * (total - self.steps) / max(total - warm, 1)

    def _save(self, best: int) -> None:
        state = {
            "model": self._model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "step": self.steps,
            "loss": self._loss,
            "epochs": self.epochs,
        }
        self._folder.save(state, best)
        self._saved = time.monotonic()


def best_epoch(epochs: Sequence[Mapping[str, Any]], metric: str) -> int:
    """Return the number, from 1, of the first epoch with the highest score; 0 if there is none."""
    scores = [epoch["metrics"][metric] for epoch in epochs]
    return scores.index(max(scores)) + 1 if scores else 0


def is_over(epochs: Sequence[Mapping[str, Any]], settings: Settings, metric: str) -> bool:
    """Tell whether training ends: by the number of epochs, or since the last ones were no better."""
    waited = len(epochs) - best_epoch(epochs, metric)
    return len(epochs) >= settings.epochs or 0 < settings.patience <= waited


def _optimizer(model: Any, settings: Settings) -> Any:
    """Return AdamW without decay of vectors: biases, and the scales of layer norms."""
    import torch

    matrices = [each for each in model.parameters() if each.ndim > 1]
    vectors = [each for each in model.parameters() if each.ndim <= 1]
    return torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": settings.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ]
    )
