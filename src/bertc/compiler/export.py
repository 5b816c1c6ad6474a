"""``bertc.export``: a model as a file for other hardware."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from bertc import passes
from bertc.artifact.reader import open_artifact
from bertc.artifact.schema import ModelInfo
from bertc.atomic_file import check_destination, replace_atomically
from bertc.compiler.calibration import collect_statistics
from bertc.compiler.calibration_data import read_calibration_data
from bertc.compiler.parts import IDS, Part, choose_part, is_compiled, tables_path
from bertc.compiler.pipeline import choose_recipe
from bertc.compiler.recipe_checks import find_misfits
from bertc.errors import InputError, RecipeError
from bertc.exporters.onnx import FP32, Options, import_onnx, make_model
from bertc.frontends.source import import_source
from bertc.home import expand_home
from bertc.ir.graph import Graph
from bertc.lowering.lift import lift
from bertc.precision import PRECISIONS
from bertc.primitives.host_steps import find_host_steps, tell_host_steps
from bertc.quantize.precisions import choose_precisions
from bertc.quantize.quantize import Quantizer
from bertc.recipe import ActivationScheme, Recipe
from bertc.recipe.keys import raise_problems
from bertc.runtime.items import path_text, subfolder_path
from bertc.runtime.session import Session
from bertc.task_table import TASKS


def export(
    source: Any,
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
    example_inputs: Mapping[str, Any] | Sequence[Any] | None = None,
    allow_torchscript: bool = False,
    inputs: str = IDS,
    until: str | None = None,
    embeddings: str | PathLike[str] | None = None,
    show_progress: bool = False,
) -> Path:
    """Write a model as an ONNX file of standard operators. Return its path.

    ``source`` is what :func:`bertc.compile` takes, with the same ``recipe``, ``task``, ``subfolder``,
    ``tokenizer``, ``output_name``, ``example_inputs``, ``allow_torchscript``, ``inputs``, ``until`` and
    ``embeddings``; or a ``.bertc`` file, which is written as it is.
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
    path = check_destination(Path(path_text(output, "output")), source)
    tables, part = tables_path(path, inputs, embeddings, source), None
    if is_compiled(source):
        given = {
            "recipe": recipe,
            "task": task,
            "tokenizer": tokenizer,
            "output_name": output_name,
            "until": until,
            "inputs": None if inputs == IDS else inputs,
        }
        graph, info = _of_file(
            expand_home(source), [key for key, value in given.items() if value is not None]
        )
    else:
        chosen = choose_recipe(recipe, task=task)
        model = import_source(
            source,
            task=chosen.task,
            adapter=chosen.adapter,
            subfolder=subfolder_path(subfolder),
            tokenizer=tokenizer,
            output=output_name,
            example_inputs=example_inputs,
            allow_torchscript=allow_torchscript,
        )
        part = choose_part(model, inputs, until)
        asked = chosen if until is None else dataclasses.replace(chosen, task=None)  # of the whole model
        graph = _of_part(part, asked if format != FP32 else None, show_progress=show_progress)
        info = part.model.info
    facts = TASKS[info.task]
    proto = make_model(graph, options, name=info.name, columns=(facts.output, facts.columns))
    data = proto.SerializeToString()
    with replace_atomically(path) as file:
        file.write(data)
        file.flush()
        if tables is not None and part is not None:
            part.tables.save(tables)  # before the file takes its place: neither is there without the other
    return path


def _of_file(path: Path, given: list[str]) -> tuple[Graph, ModelInfo]:
    if given:
        raise InputError(f"{given[0]} is for a checkpoint, {path} is compiled already: leave it out")
    artifact = open_artifact(path)
    Session(artifact.executable, num_threads=1)  # the native core checks what the program says
    graph = lift(artifact.executable)
    _refuse_host(graph)
    return graph, artifact.manifest.model


def _of_part(part: Part, recipe: Recipe | None, *, show_progress: bool) -> Graph:
    """Return the graph of a part: fused, or by a recipe typed with layers in 8 bits."""
    fused = passes.fuse(part.model.graph)
    _refuse_host(fused)
    return fused if recipe is None else _quantized(part, fused, recipe, show_progress=show_progress)


def _refuse_host(graph: Graph) -> None:
    if on_host := find_host_steps(graph.nodes):
        raise InputError(f"an export cannot hold {tell_host_steps(on_host)}: change the model, or compile it")


def _quantized(part: Part, fused: Graph, recipe: Recipe, *, show_progress: bool) -> Graph:
    """Return the typed graph of a part, whose fused graph is given, with static ranges."""
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
    model = dataclasses.replace(part.model, graph=fused)
    raise_problems(list(find_misfits(recipe, model, fused)))
    data = part.enter(read_calibration_data(recipe.calibration, part.whole, show_progress=show_progress))
    precisions = choose_precisions(model.graph, recipe)
    statistics = collect_statistics(recipe, model, precisions, data, show_progress=show_progress)
    return Quantizer(model.graph, recipe, statistics)(precisions).graph


def _static(scheme: ActivationScheme) -> ActivationScheme:
    """Return the scheme with ranges from calibration for all layers, where some have them while they run."""
    if scheme.mode == "static":
        return scheme
    granularity = "per_tensor" if scheme.mode == "dynamic" else scheme.granularity
    return dataclasses.replace(scheme, mode="static", granularity=granularity)
