"""``bertc.finetune``: from labeled data and a base checkpoint to a checkpoint and its compiled file."""

from __future__ import annotations

import hashlib
import importlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from bertc.artifact.certificate import Certificate
from bertc.artifact.reader import open_artifact
from bertc.compiler.pipeline import choose_recipe, run_pipeline
from bertc.encoder import load
from bertc.errors import MissingExtraError
from bertc.evaluation.evaluator import evaluate
from bertc.files.hub import is_hub
from bertc.files.lines import open_bytes
from bertc.recipe import Recipe
from bertc.training.base_model import (
    Base,
    make_model,
    quiet_transformers,
    read_base,
    sequence_length,
    write_checkpoint,
)
from bertc.training.batches import Padding
from bertc.training.classify import Classify
from bertc.training.loop import Loop, best_epoch
from bertc.training.ner import TagWords
from bertc.training.objective import Objective
from bertc.training.pairs import ScorePairs
from bertc.training.qa import FindAnswers
from bertc.training.run_folder import RunFolder, writing
from bertc.training.settings import Settings
from bertc.training.sts import Similarities

OBJECTIVES: Mapping[str, type[Objective]] = {
    "classify": Classify,
    "ner": TagWords,
    "sts": Similarities,
    "qa": FindAnswers,
    "pairs": ScorePairs,
}


@dataclass(frozen=True)
class Finetuned:
    """What a run of fine-tuning gave."""

    folder: Path
    """The checkpoint, which ``transformers`` opens; of an embedder, sentence-transformers."""
    artifact: Path | None
    """The compiled file, if there is one."""
    certificate: Certificate | None
    """That of the compiled file."""
    metric: str
    """The score that chose the best epoch."""
    best_epoch: int
    epochs: list[dict[str, Any]]
    """The loss, metrics and seconds of each epoch, scored in fp32."""
    scores: Mapping[str, float]
    """Those of the compiled file on the same data, else those of the best epoch."""


def finetune(
    kind: str,
    *,
    base: str | PathLike[str],
    data: str | PathLike[str],
    eval_data: str | PathLike[str],
    output: str | PathLike[str],
    recipe: str | PathLike[str] | Mapping[str, Any] | Recipe | None = None,
    dtype: str | None = None,
    compile: bool = True,  # noqa: A002
    resume: bool = True,
    save_minutes: float = 5.0,
    show_progress: bool = False,
    **settings: Any,
) -> Finetuned:
    """Train a checkpoint on labeled data, and compile the best epoch.

    ``kind`` is "classify", "ner", "sts", "qa" or "pairs"; ``base`` a folder or hub id; ``data`` and
    ``eval_data`` are files as :mod:`bertc.evaluation` reads them. The folder ``output`` becomes the
    checkpoint, with ``model.bertc``, compiled by ``recipe`` or ``dtype`` as :func:`bertc.compile` does,
    unless ``compile`` is False. More keywords are the fields of
    :class:`bertc.training.settings.Settings`: ``epochs``, ``batch_size``, ``learning_rate``, ``seed``, ...

    The state is saved every ``save_minutes`` and after each epoch. A call with the same settings and folder
    goes on from there, and gives the same result as a run that was never stopped, where PyTorch is
    deterministic; without ``resume`` it begins again. A run that is complete is compiled again, not trained.
    Raises ``MissingExtraError`` without PyTorch and ``transformers``, ``InputError`` for data, settings and
    folders that are not right, ``CheckpointError`` for a base that cannot be read or compiled, and
    ``RecipeError``.
    """
    chosen = Settings(kind, str(base), str(data), str(eval_data), **settings)
    _check_packages()
    run = _Run(chosen, choose_recipe(recipe, dtype) if compile else None, show_progress=show_progress)
    with quiet_transformers():
        return run(Path(output), resume=resume, save_minutes=save_minutes)


class _Run:
    """One run, from its settings to its result."""

    def __init__(self, settings: Settings, recipe: Recipe | None, *, show_progress: bool) -> None:
        self._settings, self._recipe = settings, recipe
        self._show_progress = show_progress

    def __call__(self, output: Path, *, resume: bool, save_minutes: float) -> Finetuned:
        settings = self._settings
        kind = OBJECTIVES[settings.kind](settings)
        base = read_base(settings, kind)
        objective = kind.with_labels(base.labels)
        length = sequence_length(settings, objective, base)
        objective.evaluator().read(settings.eval_data)  # what is wrong with it is told before training
        folder = RunFolder(output, _facts(settings), resume=resume)
        if not folder.record["complete"]:
            self._train(objective, base, length, folder, save_minutes)
        return self._finish(objective, folder)

    def _train(
        self, objective: Objective, base: Base, length: int, folder: RunFolder, save_minutes: float
    ) -> None:
        """Train the model, and make the best epoch's checkpoint that of the folder."""
        import torch

        features = objective.features(base.tokenizer, length)
        model = make_model(self._settings, objective, base)
        model.to("cuda" if torch.cuda.is_available() else "cpu")
        padding = Padding(base.config.pad_token_id or 0, base.tokenizer.pad_token_type_id)

        def score(epoch: int) -> Mapping[str, float]:
            checkpoint = folder.epoch(epoch)
            with writing(folder.path):
                write_checkpoint(checkpoint, model, self._settings, objective, length)
            run_pipeline(checkpoint, folder.scored, choose_recipe(None, "fp32"))
            return self._score(objective, folder.scored) if epoch else {}

        loop = Loop(model, objective, features, padding, folder, save_minutes=save_minutes)
        if not loop.steps:
            score(0)  # a base that cannot be compiled is refused before it is trained
        head = "no" if not objective.suffix else "a new" if base.labels is None else "the base's"
        labels = f" with {', '.join(objective.labels)}" if objective.labels else ""
        self._tell(f"{len(features)} sequences of at most {length} tokens, {head} head{labels}")
        loop.run(score, self._tell, show_progress=self._show_progress)
        folder.record["epochs"] = loop.epochs
        folder.promote(best_epoch(loop.epochs, objective.evaluator().metric))
        with writing(folder.path):
            folder.write_record()

    def _finish(self, objective: Objective, folder: RunFolder) -> Finetuned:
        """Compile the checkpoint, if that was not done, and return what there is."""
        metric = objective.evaluator().metric
        epochs = folder.record["epochs"]
        best = best_epoch(epochs, metric)
        scores = epochs[best - 1]["metrics"]
        certificate = None
        if self._recipe is not None:
            run_pipeline(folder.path, folder.artifact, self._recipe, show_progress=self._show_progress)
            certificate = open_artifact(folder.artifact).certificate
            scores = folder.record["scores"] = self._score(objective, folder.artifact)
        folder.finish()
        artifact = folder.artifact if certificate is not None else None
        return Finetuned(folder.path, artifact, certificate, metric, best, epochs, scores)

    def _score(self, objective: Objective, artifact: Path) -> dict[str, float]:
        encoder = load(artifact)
        result = evaluate(objective.evaluator(), encoder, self._settings.eval_data, seed=None)
        return dict(result.metrics)

    def _tell(self, text: str) -> None:
        if self._show_progress:
            sys.stderr.write(f"bertc: {text}\n")
            sys.stderr.flush()


def _check_packages() -> None:
    for package in ("torch", "transformers"):
        try:
            importlib.import_module(package)
        except ImportError:
            raise MissingExtraError(package, "train", "fine-tuning") from None


def _facts(settings: Settings) -> dict[str, Any]:
    """Return all that a result depends on; of files what they hold, not where they are."""
    files = {name: _digest([Path(getattr(settings, name))]) for name in ("data", "eval_data")}
    base = sorted(each for each in Path(settings.base).glob("*") if each.is_file())
    return {**settings.to_dict(), **files, "base": _digest(base) if base else settings.base}


def _digest(files: Sequence[Path]) -> str:
    """Return a hash of files, of a data set of the hub its name."""
    digest = hashlib.sha256()
    for path in files:
        if is_hub(path):
            return str(path)
        with open_bytes(path) as file:
            while block := file.read(2**20):
                digest.update(block)
    return f"sha256:{digest.hexdigest()}"
