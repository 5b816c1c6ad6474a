"""``bertc.compile``: the whole pipeline as one vertical list of named steps.

It runs what it is about to write, compares it with the fp32 model, and puts what it measured into the file.
"""

from __future__ import annotations

import dataclasses
import platform
import time
from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from bertc import passes
from bertc.artifact.reader import Artifact, open_artifact
from bertc.artifact.schema import FORMAT_VERSION, Manifest
from bertc.artifact.writer import write_artifact
from bertc.compiler.calibration_data import read_calibration_data
from bertc.compiler.certify import Graphs, certify
from bertc.errors import ArtifactError
from bertc.frontends.huggingface import import_model
from bertc.frontends.imported_model import ImportedModel
from bertc.lowering.lower import LoweredModel, lower
from bertc.quantize.apply import apply_recipe
from bertc.recipe import Recipe
from bertc.version import __version__

OnStep = Callable[[str, float], None]
"""Called after each step with its name and the seconds it took."""


def compile(  # noqa: A001
    source: str | PathLike[str],
    output: str | PathLike[str],
    recipe: str | PathLike[str] | Mapping[str, Any] | Recipe | None = None,
    *,
    dtype: str | None = None,
) -> Artifact:
    """Compile a checkpoint into one ``.bertc`` file.

    ``source`` is a Hugging Face folder or hub id; ``recipe`` a :class:`Recipe`, a mapping, or a JSON
    or YAML file; ``dtype`` ("fp32", "bf16" or "int8") overrides the recipe's. Without either, int8.
    The file appears at ``output`` complete, or not at all. Raises ``CheckpointError``,
    ``RecipeError``, or ``ArtifactError`` if the file cannot be written.
    """
    return run_pipeline(source, output, recipe, dtype=dtype)


def run_pipeline(
    source: str | PathLike[str],
    output: str | PathLike[str],
    recipe: str | PathLike[str] | Mapping[str, Any] | Recipe | None = None,
    *,
    dtype: str | None = None,
    on_step: OnStep | None = None,
    show_progress: bool = False,
) -> Artifact:
    """:func:`compile` that tells ``on_step`` about its progress, and may show bars for long steps."""
    step = _Steps(on_step)
    chosen = step("read the recipe", lambda: _choose_recipe(recipe, dtype))
    path = step("check the destination", lambda: _check_destination(output))
    model = step("import the checkpoint", lambda: import_model(_as_source(source)))
    fused = step("fuse", lambda: passes.fuse(model.graph))
    data = step(
        "read calibration data",
        lambda: read_calibration_data(chosen.calibration, model, show_progress=show_progress),
    )
    typed = step(f"quantize to {chosen.dtype}", lambda: apply_recipe(fused, chosen))
    lowered = step("lower", lambda: lower(typed))
    draft = _manifest(model, lowered, chosen)
    certificate = step(
        "certify", lambda: certify(model.info, Graphs(model.graph, fused, typed), data.held_out)
    )
    final = dataclasses.replace(draft, certificate=certificate.to_json_value())
    step("write", lambda: write_artifact(path, final, model.tokenizer_json, lowered.tensors))
    return open_artifact(path)


class _Steps:
    """Runs a step and reports its name and duration."""

    def __init__(self, on_step: OnStep | None) -> None:
        self._on_step = on_step

    def __call__(self, name: str, work: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = work()
        if self._on_step is not None:
            self._on_step(name, time.perf_counter() - start)
        return result


def _choose_recipe(recipe: Any, dtype: str | None) -> Recipe:
    loaded = Recipe.load(recipe)
    return loaded if dtype is None else dataclasses.replace(loaded, dtype=dtype)


def _as_source(source: str | PathLike[str]) -> str | Path:
    return source if isinstance(source, str) else Path(source)


def _check_destination(output: str | PathLike[str]) -> Path:
    """Fail before the work rather than after it."""
    path = Path(output)
    if path.is_dir():
        raise ArtifactError(f"the output {path} is a folder: name a file, such as {path / 'model.bertc'}")
    if not path.parent.is_dir():
        raise ArtifactError(f"the folder {path.parent} for the output does not exist: make it first")
    return path


def _manifest(model: ImportedModel, lowered: LoweredModel, recipe: Recipe) -> Manifest:
    provenance = {
        "source": dict(model.source),
        "bertc": __version__,
        "format_version": FORMAT_VERSION,
        "python": platform.python_version(),
        "numpy": np.__version__,
    }
    return Manifest(model.info, lowered.program, recipe.to_dict(), {}, provenance)
