"""``bertc.compile``: the whole pipeline as one vertical list of named steps.

It runs what it is about to write, compares it with the fp32 model, and puts what it measured into the file.
"""

from __future__ import annotations

import dataclasses
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from bertc import passes
from bertc.artifact.certificate import Certificate
from bertc.artifact.executable import Executable
from bertc.artifact.reader import Artifact, open_artifact
from bertc.artifact.schema import FORMAT_VERSION, Manifest
from bertc.artifact.writer import write_artifact
from bertc.atomic_file import check_destination
from bertc.compiler.calibration import calibration_facts, calibration_notes, collect_statistics
from bertc.compiler.calibration_data import CalibrationData, read_calibration_data
from bertc.compiler.certify import Graphs, certify, check_reference
from bertc.compiler.cpu_target import CpuTarget
from bertc.compiler.fit_budget import BudgetedModel, check_budget, hold_budget
from bertc.compiler.parts import IDS, choose_part, tables_path
from bertc.compiler.recipe_checks import find_misfits
from bertc.compiler.task_scores import TaskScorer
from bertc.compiler.vector_ranges import with_ranges
from bertc.errors import CheckpointError, RecipeError
from bertc.frontends.imported_model import ImportedModel
from bertc.frontends.source import import_source
from bertc.frontends.torch import is_module
from bertc.precision import PRECISIONS
from bertc.primitives.host_steps import find_host_steps, tell_host_steps
from bertc.quantize.describe import describe, notes
from bertc.quantize.precisions import choose_precisions
from bertc.quantize.quantize import Quantized, Quantizer
from bertc.recipe import Budget, Recipe
from bertc.recipe.keys import raise_problems
from bertc.recipe.presets import PROFILES
from bertc.runtime.items import path_text, subfolder_path
from bertc.runtime.no_tokenizer import make_tokenizer
from bertc.runtime.progress import progress
from bertc.task_table import TASKS
from bertc.version import __version__

T = TypeVar("T")
OnStep = Callable[[str, float], None]
"""A function that is called after each step with its name and the seconds it took."""


def compile(  # noqa: A001
    source: Any,
    output: str | PathLike[str],
    recipe: str | PathLike[str] | Mapping[str, Any] | Recipe | None = None,
    *,
    dtype: str | None = None,
    task: str | None = None,
    adapter: str | None = None,
    subfolder: str = "",
    profile: str | None = None,
    max_drop: float | str | None = None,
    eval_data: str | PathLike[str] | None = None,
    allow_over_budget: bool = False,
    tokenizer: str | PathLike[str] | None = None,
    output_name: str | None = None,
    example_inputs: Mapping[str, Any] | Sequence[Any] | None = None,
    allow_torchscript: bool = False,
    strict: bool = False,
    inputs: str = IDS,
    until: str | None = None,
    embeddings: str | PathLike[str] | None = None,
) -> Artifact:
    """Compile a checkpoint into one ``.bertc`` file.

    ``source`` is a Hugging Face folder or hub id, an ``.onnx`` or TorchScript file, an ``nn.Module`` (of
    transformers, sentence-transformers, or your own), or None for the recipe's; ``recipe`` a
    :class:`Recipe`, a mapping, a JSON or YAML file, or a preset's name; ``dtype`` ("fp32", "bf16" or
    "int8") overrides the recipe's. Without either, int8. ``task`` is what the model is for, if the checkpoint
    was saved with another head: "embedding" makes an embedder of a masked LM. ``adapter`` is one of those
    that a checkpoint holds for tasks, such as "retrieval.query" of jina-embeddings-v3: it is merged in fp32,
    before anything is quantized. ``subfolder`` is where in the folder or repository all files of the model
    are, as in ``from_pretrained`` of ``transformers``.
    ``profile`` is deprecated: "vnni" or "avx2" set the recipe's ``weights.bound`` to pairs or fours, as the
    presets "default" and "avx2" have them.
    ``max_drop`` ("0.1%" or 0.001) is how much accuracy may be lost: layers fall back to more bits until
    it is kept; ``eval_data`` is labeled data to score on. They override the recipe's ``budget``.
    ``tokenizer`` is the folder of the tokenizer of such a file or module, by default that of the file itself,
    and ``output_name`` the output to compile of one that has several. ``example_inputs``, tensors [batch,
    length] by name or place, are what a module is traced with, if the names of its arguments do not tell;
    ``allow_torchscript`` allows to load TorchScript, which runs the code in the file.
    Nodes of such a file or module that no native op computes run on the host, with NumPy; ``strict`` refuses
    them.
    ``inputs="embeddings"`` compiles what comes after the embeddings: the file takes their output, floats
    [tokens, hidden], and the tables that make it are written to ``embeddings``, by default beside the output
    as ``NAME.embeddings.safetensors``, for :class:`EmbeddingTables`. ``until`` names the node or module that
    the file ends at: its value is the output, vectors of tokens or of sequences.
    The file appears at ``output`` complete, or not at all. Raises ``CheckpointError``,
    ``RecipeError``, ``ArtifactError`` if the file cannot be written, ``InputError`` for data that cannot
    be read and for what is no path, or ``BudgetError`` if the budget cannot be kept (unless
    ``allow_over_budget``).
    """
    chosen = choose_recipe(recipe, dtype, task, profile, max_drop, eval_data, adapter)
    return run_pipeline(
        source,
        output,
        chosen,
        subfolder=subfolder,
        eval_data=eval_data,
        allow_over_budget=allow_over_budget,
        tokenizer=tokenizer,
        output_name=output_name,
        example_inputs=example_inputs,
        allow_torchscript=allow_torchscript,
        strict=strict,
        inputs=inputs,
        until=until,
        embeddings=embeddings,
    )


def run_pipeline(
    source: Any,
    output: str | PathLike[str],
    recipe: Recipe,
    *,
    subfolder: str = "",
    eval_data: str | PathLike[str] | None = None,
    allow_over_budget: bool = False,
    tokenizer: str | PathLike[str] | None = None,
    output_name: str | None = None,
    example_inputs: Mapping[str, Any] | Sequence[Any] | None = None,
    allow_torchscript: bool = False,
    strict: bool = False,
    inputs: str = IDS,
    until: str | None = None,
    embeddings: str | PathLike[str] | None = None,
    on_step: OnStep | None = None,
    show_progress: bool = False,
) -> Artifact:
    """Compile as :func:`compile` does, and tell ``on_step`` about each step; may show bars for long ones.

    It holds at most three times the weights in fp32: they stay in the checkpoint until they are needed, and
    what a step makes of them (packed weights, statistics) ends with the step.
    """
    step = _Steps(on_step)
    found, below = choose_source(source, recipe), subfolder_path(subfolder)
    path = step("check the destination", lambda: check_destination(Path(path_text(output, "output")), found))
    tables = tables_path(path, inputs, embeddings, found)
    model = step(
        "import the checkpoint",
        lambda: import_source(
            found,
            task=recipe.task,
            adapter=recipe.adapter,
            subfolder=below,
            tokenizer=tokenizer,
            output=output_name,
            example_inputs=example_inputs,
            allow_torchscript=allow_torchscript,
        ),
    )
    part = choose_part(model, inputs, until)
    model = part.model
    fused = step("fuse", lambda: passes.fuse(model.graph))
    on_host = find_host_steps(fused.nodes)
    if strict and on_host:
        raise CheckpointError(f"strict refuses {tell_host_steps(on_host)}")
    asked = recipe if until is None else dataclasses.replace(recipe, task=None)  # of the whole model
    raise_problems([*part.misfits(recipe, eval_data), *find_misfits(asked, model, fused)])
    data = step(
        "read calibration data",
        lambda: part.enter(
            read_calibration_data(recipe.calibration, part.whole, show_progress=show_progress)
        ),
    )
    task_output = TASKS[model.info.task].output
    reference = step(
        "check the fp32 kernels",
        lambda: check_reference(model.graph, fused, data.held_out, task_output, CpuTarget()),
    )
    model = dataclasses.replace(model, graph=fused)
    scorer = step("score the fp32 model", lambda: _scorer(model, eval_data, recipe.budget))
    target = CpuTarget()
    graphs, facts = _quantize(step, recipe, model, data, target, scorer, show_progress=show_progress)
    check_budget(facts["budget"], allow_over_budget)
    executable = step("lower", lambda: target.executable(graphs.typed))
    certificate = step(
        "certify", lambda: certify(model.info, graphs, data.held_out, reference, target, scorer)
    )
    told = [tell_host_steps(on_host)] if on_host else []
    facts["notes"] = (*model.notes, *told, *facts["notes"])
    info = step("measure ranges of vectors", lambda: with_ranges(model.info, graphs.typed, data, target))
    model = dataclasses.replace(model, info=info)
    manifest = _manifest(model, executable, recipe, dataclasses.replace(certificate, **facts))
    if tables is not None:
        step("write the embedding tables", lambda: part.tables.save(tables))
    step("write", lambda: write_artifact(path, manifest, model.tokenizer_json, executable.tensors))
    return open_artifact(path)


class _Steps:
    """Runs a step and reports its name and duration."""

    def __init__(self, on_step: OnStep | None) -> None:
        self._on_step = on_step

    def __call__(self, name: str, work: Callable[[], T]) -> T:
        start = time.perf_counter()
        result = work()
        if self._on_step is not None:
            self._on_step(name, time.perf_counter() - start)
        return result


def _quantize(
    step: _Steps,
    recipe: Recipe,
    model: ImportedModel,
    data: CalibrationData,
    target: CpuTarget,
    scorer: TaskScorer | None,
    *,
    show_progress: bool,
) -> tuple[Graphs, dict[str, Any]]:
    """Quantize a fused model within its budget. Return also fields of the certificate."""
    precisions = choose_precisions(model.graph, recipe)
    statistics = step(
        "calibrate",
        lambda: collect_statistics(recipe, model, precisions, data, show_progress=show_progress),
    )
    quantizer = Quantizer(model.graph, recipe, statistics)
    quantized = step(
        f"quantize to {recipe.layer_dtype}",
        lambda: _first_variant(quantizer, precisions, show_progress=show_progress),
    )
    candidates = BudgetedModel(
        model.info, model.graph, lambda p: quantizer(p).graph, precisions, data.held_out, target
    )
    within_budget = step(
        "hold the budget", lambda: hold_budget(candidates, recipe.budget, scorer, show_progress=show_progress)
    )
    if within_budget.precisions != precisions:
        quantized = quantizer(within_budget.precisions)
    return Graphs(quantized.reference, quantized.graph, within_budget.precisions), {
        "budget": within_budget.outcome,
        "notes": (*within_budget.notes, *calibration_notes(statistics), *notes(quantized)),
        "methods": describe(quantized, recipe),
        **calibration_facts(statistics, quantized.plans),
    }


def _first_variant(quantizer: Quantizer, precisions: Mapping[str, str], *, show_progress: bool) -> Quantized:
    """Return the variant that the recipe asks for. What others share with it is not chosen a second time."""
    count = len(quantizer.layers(precisions))
    with progress(count, "quantizing (layers)", enabled=show_progress and count > 0) as advance:
        return quantizer(precisions, advance)


def _scorer(
    model: ImportedModel, eval_data: str | PathLike[str] | None, budget: Budget | None
) -> TaskScorer | None:
    path = eval_data or (budget.eval_data if budget is not None else None)
    if path is None:
        return None
    vocab_size = model.info.size("vocab_size")
    tokenizer = make_tokenizer(model.tokenizer_json, model.info.max_seq_length, vocab_size)
    return TaskScorer(model.info, tokenizer, Path(path), CpuTarget().session(model.graph))


def choose_recipe(
    recipe: Any,
    dtype: str | None = None,
    task: str | None = None,
    profile: str | None = None,
    max_drop: float | str | None = None,
    eval_data: str | PathLike[str] | None = None,
    adapter: str | None = None,
) -> Recipe:
    """Return the recipe with what the other arguments of :func:`compile` override. Raises ``RecipeError``."""
    chosen = Recipe.load(recipe)
    if dtype is not None:
        chosen = dataclasses.replace(chosen, dtype=dtype)
    if task is not None:
        chosen = dataclasses.replace(chosen, task=task)
    if adapter is not None:
        chosen = dataclasses.replace(chosen, adapter=adapter)
    if profile is not None:
        chosen = _for_profile(chosen, profile)
    changes: dict[str, Any] = {} if max_drop is None else {"max_drop": max_drop}
    if eval_data is not None:
        changes["eval_data"] = path_text(eval_data, "eval_data")
    if max_drop is not None or (changes and chosen.budget is not None):
        budget = dataclasses.replace(chosen.budget or Budget(), **changes)
        chosen = dataclasses.replace(chosen, budget=budget)
    return chosen


def _for_profile(recipe: Recipe, profile: str) -> Recipe:
    if not isinstance(profile, str) or profile not in PROFILES:
        raise RecipeError(f"profile is {profile!r}, expected one of {', '.join(PROFILES)}")
    if PRECISIONS[recipe.dtype].weight_bits is None:
        raise RecipeError(f"profile {profile} is for dtype int8, not {recipe.dtype}: leave it out")
    preset = Recipe.load(PROFILES[profile]).weights
    weights = dataclasses.replace(recipe.weights, bits=preset.bits, bound=preset.bound)
    return dataclasses.replace(recipe, weights=weights)


def choose_source(source: Any, recipe: Recipe) -> Any:
    """Return a module as it is, else a path or hub id. Raises ``RecipeError`` if there is none."""
    source = recipe.source if source is None else source
    if is_module(source):
        return source
    if source is None:
        raise RecipeError("no model: name a folder or a hub id, or give the recipe a source")
    text = path_text(source, "source", "the path of a folder, a hub id, or an nn.Module")
    return text if isinstance(source, str) else Path(text)


def _manifest(
    model: ImportedModel, executable: Executable, recipe: Recipe, certificate: Certificate
) -> Manifest:
    provenance = {
        "source": dict(model.source),
        "bertc": __version__,
        "format_version": FORMAT_VERSION,
        "python": platform.python_version(),
        "numpy": np.__version__,
    }
    features = sorted({*executable.program.features, *model.info.embedding.features})
    program = dataclasses.replace(executable.program, features=tuple(features))
    return Manifest(model.info, program, recipe.to_dict(), certificate.to_json_value(), provenance)
