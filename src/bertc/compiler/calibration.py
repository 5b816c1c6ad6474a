"""Runs calibration on the native core, or reads the statistics of an earlier run."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bertc import passes
from bertc.artifact.certificate import DataFacts
from bertc.artifact.json_form import from_json_value, to_json_value
from bertc.compiler.calibration_data import FEW, CalibrationData, read_calibration_data
from bertc.compiler.cpu_target import CpuTarget
from bertc.compiler.edges import edge_ranges
from bertc.compiler.parts import IDS, choose_part
from bertc.errors import ArtifactError, InputError, RecipeError
from bertc.frontends.imported_model import ImportedModel
from bertc.frontends.source import import_source
from bertc.quantize.calibrate import calibrate, quantized_edges
from bertc.quantize.edges import EdgePlan
from bertc.quantize.precisions import choose_precisions
from bertc.quantize.statistics import Statistics
from bertc.recipe import Recipe
from bertc.runtime.progress import progress

_NO_WEIGHTS = (".json", ".txt", ".model")
"""How the names of the files end that a front end reads besides weights: configs, tokenizers."""


def collect_from_model(
    source: Any,
    recipe: str | Path | Recipe | None = None,
    *,
    inputs: str = IDS,
    until: str | None = None,
    show_progress: bool = False,
    **options: Any,
) -> Statistics:
    """Return statistics of a source, or of a part of it, for ``calibration.statistics`` of later recipes.

    ``options`` are those of :func:`import_source`. Raises ``RecipeError`` if the recipe reads none, and what
    reading the model and the data may raise.
    """
    chosen = Recipe.load(recipe)
    chosen = dataclasses.replace(chosen, calibration=dataclasses.replace(chosen.calibration, statistics=None))
    part = choose_part(import_source(source, **options), inputs, until)
    model = dataclasses.replace(part.model, graph=passes.fuse(part.model.graph))
    precisions = choose_precisions(model.graph, chosen)
    data = part.enter(read_calibration_data(chosen.calibration, part.whole, show_progress=show_progress))
    statistics = collect_statistics(chosen, model, precisions, data, show_progress=show_progress)
    if statistics is None:
        raise RecipeError("this recipe reads no statistics: it has no 8-bit layer, or no calibrated method")
    return statistics


def collect_statistics(
    recipe: Recipe,
    model: ImportedModel,
    precisions: Mapping[str, str],
    data: CalibrationData,
    *,
    show_progress: bool = False,
) -> Statistics | None:
    """Return statistics of all edges that the recipe's 8-bit layers read; None if it needs none.

    ``model`` has its fused graph. Raises ``InputError`` if the recipe names a file of statistics that cannot
    be read.
    """
    edges = quantized_edges(model.graph, precisions)
    if not edges or not recipe.calibrates:
        return None
    if recipe.calibration.statistics is not None:
        return _load(Path(recipe.calibration.statistics), model)
    samples = data.samples
    with progress(samples.facts.tokens, "calibrating (tokens)", enabled=show_progress) as advance:
        return calibrate(
            data.enter(model.graph),
            (batch.inputs for batch in samples.batches),
            CpuTarget(),
            edges,
            seed=recipe.calibration.seed,
            provenance={**to_json_value(samples.facts), **_identity(model)},
            on_batch=advance,
        )


def calibration_facts(statistics: Statistics | None, plans: Mapping[str, EdgePlan]) -> dict[str, Any]:
    """Return fields of the certificate: the data of calibration, and the ranges of what is quantized."""
    if statistics is None:
        return {}
    return {"calibration": _data_facts(statistics), "edges": edge_ranges(plans)}


def calibration_notes(statistics: Statistics | None) -> Iterator[str]:
    """Yield a note for the certificate if there was too little to calibrate on."""
    facts = None if statistics is None else _data_facts(statistics)
    if facts is not None and facts.samples < FEW:
        yield (
            f"calibrated on few samples ({facts.samples} of {facts.tokens} tokens together): ranges that fit"
            " them may fit little else"
        )


def _load(path: Path, model: ImportedModel) -> Statistics:
    statistics = Statistics.load(path)
    try:
        _data_facts(statistics)
    except ArtifactError:
        raise InputError(
            f"{path} does not say what was calibrated on: collect the statistics again"
        ) from None
    if statistics.provenance.get("weights_sha256") != (_identity(model)["weights_sha256"] or None):
        # Those of a model of the same shape would fit everywhere, and make it worse without a word.
        raise InputError(
            f"{path} has the statistics of {statistics.provenance.get('model', 'another model')}, not of the"
            f" weights of this {model.info.name}: collect them again"
        )
    return statistics


def _identity(model: ImportedModel) -> dict[str, str]:
    """Return the model's name, and one hash for all its files of weights, "" for a module in memory."""
    files = model.source["files"]
    hashes = "".join(files[name] for name in sorted(files) if not name.endswith(_NO_WEIGHTS))
    digest = hashlib.sha256(hashes.encode()).hexdigest() if hashes else ""
    return {"model": model.info.name, "weights_sha256": digest}


def _data_facts(statistics: Statistics) -> DataFacts:
    return from_json_value(DataFacts, dict(statistics.provenance), "provenance")
