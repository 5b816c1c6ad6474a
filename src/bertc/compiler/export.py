"""``bertc.export``: a model as a file for other hardware."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from bertc import passes
from bertc.artifact.reader import open_artifact
from bertc.artifact.schema import ModelInfo
from bertc.atomic_file import check_destination, replace_atomically
from bertc.compiler.calibration import collect_statistics
from bertc.compiler.calibration_data import read_calibration_data
from bertc.compiler.recipe_checks import find_misfits
from bertc.errors import InputError, RecipeError
from bertc.exporters.onnx import FP32, Options, import_onnx, make_model
from bertc.frontends.imported_model import ImportedModel
from bertc.frontends.source import import_source
from bertc.ir.graph import Graph
from bertc.lowering.lift import lift
from bertc.precision import PRECISIONS
from bertc.quantize.precisions import choose_precisions
from bertc.quantize.quantize import Quantizer
from bertc.recipe import ActivationScheme, Recipe
from bertc.recipe.keys import raise_problems
from bertc.runtime.items import path_text, subfolder_path
from bertc.runtime.session import Session
from bertc.task_table import TASKS


def export(
    source: str | PathLike[str],
    output: str | PathLike[str],
    *,
    format: str = Options.format,  # noqa: A002
    opset: int = Options.opset,
    batch: int | None = None,
    length: int | None = None,
    recipe: str | PathLike[str] | Mapping[str, Any] | Recipe | None = None,
    task: str | None = None,
    subfolder: str = "",
    tokenizer: str | PathLike[str] | None = None,
    output_name: str | None = None,
    show_progress: bool = False,
) -> Path:
    """Write a model as an ONNX file of standard operators. Return its path.

    ``source`` is a checkpoint as :func:`bertc.compile` takes it, with the same ``recipe``, ``task``,
    ``subfolder``, ``tokenizer`` and ``output_name``, or a ``.bertc`` file, which is written as it is.
    ``format`` is "fp32", "qdq" (8 bits, with ``QuantizeLinear`` and ``DequantizeLinear``) or "qoperator"
    (8 bits, with ``MatMulInteger``). In 8 bits all activations have one scale per tensor, from calibration:
    of a recipe with ranges per token, all else is kept. ``opset`` is the version of ONNX's operators.

    The model takes ``input_ids``, ``attention_mask`` and, if it knows two kinds of text, ``token_type_ids``:
    int64 [batch, length], padded on the right; ``batch`` and ``length`` fix their sizes. The file appears at
    ``output`` complete, or not at all. Raises ``InputError`` for options that do not fit, ``RecipeError``,
    ``CheckpointError``, ``ArtifactError``, ``MissingExtraError``, and ``OSError`` if it cannot be written.
    """
    options = Options(format, opset, batch, length)
    import_onnx()
    path = check_destination(Path(path_text(output, "output")))
    name = path_text(source, "source", "the path of a file or a folder, or a hub id")
    suffix = Path(name).suffix.lower()
    if suffix == ".bertc" or (Path(name).is_file() and suffix != ".onnx"):
        given = {"recipe": recipe, "task": task, "tokenizer": tokenizer, "output_name": output_name}
        graph, info = _of_file(Path(name), [key for key, value in given.items() if value is not None])
    else:
        model = import_source(
            name if isinstance(source, str) else Path(name),
            task=task,
            subfolder=subfolder_path(subfolder),
            tokenizer=tokenizer,
            output=output_name,
        )
        model = dataclasses.replace(model, graph=passes.fuse(model.graph))
        graph, info = model.graph, model.info
        if format != FP32:
            graph = _quantized(model, Recipe.load(recipe), show_progress=show_progress)
    facts = TASKS[info.task]
    proto = make_model(graph, options, name=info.name, columns=(facts.output, facts.columns))
    data = proto.SerializeToString()
    with replace_atomically(path) as file:
        file.write(data)
    return path


def _of_file(path: Path, given: list[str]) -> tuple[Graph, ModelInfo]:
    if given:
        raise InputError(f"{given[0]} is for a checkpoint, {path} is compiled already: leave it out")
    artifact = open_artifact(path)
    Session(artifact.executable, num_threads=1)  # the native core checks what the program says
    return lift(artifact.executable), artifact.manifest.model


def _quantized(model: ImportedModel, recipe: Recipe, *, show_progress: bool) -> Graph:
    """Return the typed graph of a fused model, with static ranges."""
    if PRECISIONS[recipe.dtype].weight_bits is None:
        raise RecipeError(
            f"the recipe has dtype {recipe.dtype}, 8 bits need int8: use it, or the format fp32"
        )
    if recipe.budget is not None:
        raise RecipeError(
            "an export keeps no budget: remove it from the recipe, or compile with activations.mode static"
            " and the budget, and export that file"
        )
    recipe = dataclasses.replace(recipe, activations=_static(recipe.activations))
    raise_problems(list(find_misfits(recipe, model, model.graph)))
    data = read_calibration_data(recipe.calibration, model, show_progress=show_progress)
    precisions = choose_precisions(model.graph, recipe)
    statistics = collect_statistics(recipe, model, precisions, data, show_progress=show_progress)
    return Quantizer(model.graph, recipe, statistics)(precisions).graph


def _static(scheme: ActivationScheme) -> ActivationScheme:
    """Return the scheme with ranges from calibration for all layers, where some have them while they run."""
    if scheme.mode == "static":
        return scheme
    granularity = "per_tensor" if scheme.mode == "dynamic" else scheme.granularity
    return dataclasses.replace(scheme, mode="static", granularity=granularity)
