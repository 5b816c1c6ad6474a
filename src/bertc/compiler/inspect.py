"""``bertc.inspect``: what a model is made of, and where and in what each node of it runs or would run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from bertc import passes
from bertc.artifact.reader import Artifact, open_artifact
from bertc.artifact.schema import ModelInfo
from bertc.compiler.cpu_target import CpuTarget
from bertc.compiler.parts import is_compiled
from bertc.compiler.pipeline import choose_recipe, choose_source
from bertc.compiler.recipe_checks import find_misfits
from bertc.errors import InputError, NodeError
from bertc.frontends.source import import_source
from bertc.frontends.torch import is_module
from bertc.home import expand_home
from bertc.inspection.facts import Inspection, Measured
from bertc.inspection.nodes import Choice, describe_nodes, sizes_of, value_of
from bertc.inspection.refused import describe_refused
from bertc.inspection.tree import fold
from bertc.ir.graph import Graph, Stage, TensorType
from bertc.ir.verifier import verify
from bertc.lowering.lift import lift
from bertc.precision import INT7, WEIGHT_BITS
from bertc.quantize.draft import draft
from bertc.quantize.precisions import explain_precisions
from bertc.recipe import Recipe
from bertc.recipe.keys import raise_problems
from bertc.runtime.items import subfolder_path
from bertc.runtime.session import Session
from bertc.runtime.step_times import measure_steps, random_batch
from bertc.task_table import TASKS

USUAL_LENGTH = 128
SECONDS = 1.0
"""The time that runs are measured for."""
_PLAIN_REASONS = frozenset(("dtype", "weights.bits"))
"""The keys of a recipe that say what all layers compute in: no more than its dtype does."""


def inspect(
    source: Any,
    recipe: str | PathLike[str] | Mapping[str, Any] | Recipe | None = None,
    *,
    dtype: str | None = None,
    task: str | None = None,
    subfolder: str = "",
    tokenizer: str | PathLike[str] | None = None,
    output_name: str | None = None,
    example_inputs: Mapping[str, Any] | Sequence[Any] | None = None,
    allow_torchscript: bool = False,
    batch: int = 1,
    length: int | None = None,
    time: bool = False,
    num_threads: int | None = None,
) -> Inspection:
    """Return what a model is made of, and where and in what each node of it runs.

    ``source`` is what :func:`bertc.compile` takes, with the same arguments, and the answer is what compiling
    would make of it, without calibration; or it is a ``.bertc`` file, and the answer what is in it.
    Operations, and with ``time`` the times of nodes on this machine, are for ``batch`` sequences of
    ``length`` tokens, by default 128, or the longest that texts are cut to.

    Of a source with nodes that can run nowhere, these are the answer: each with why not and what to do, as
    ``nowhere``. Raises what compiling raises for one that cannot be compiled for other reasons;
    ``ArtifactError`` for a file that is damaged, ``InputError`` for a batch or length that does not fit.
    """
    if source is not None and is_compiled(source):
        given = {
            "recipe": recipe,
            "dtype": dtype,
            "task": task,
            "tokenizer": tokenizer,
            "output_name": output_name,
        }
        found = _of_file(expand_home(source), [name for name, value in given.items() if value is not None])
    else:
        chosen = choose_recipe(recipe, dtype, task)
        source = choose_source(source, chosen)
        try:
            found = _of_source(
                source,
                chosen,
                subfolder=subfolder_path(subfolder),
                tokenizer=tokenizer,
                output=output_name,
                example_inputs=example_inputs,
                allow_torchscript=allow_torchscript,
            )
        except NodeError as error:
            return describe_refused(
                error,
                source=_name(source),
                task=chosen.task or "",
                dtype=chosen.dtype,
                batch=batch,
                length=length or USUAL_LENGTH,
            )
    return _inspect(found, batch, _length(found.info, batch, length), time=time, num_threads=num_threads)


class _Found(NamedTuple):
    """A model to inspect."""

    source: str
    info: ModelInfo
    dtype: str
    graphs: Mapping[Stage, Graph]
    choices: Mapping[str, Choice]
    notes: tuple[str, ...]
    artifact: Artifact | None = None


def _of_file(path: Path, given: list[str]) -> _Found:
    if given:
        raise InputError(f"{given[0]} is for a checkpoint, {path} is compiled already: leave it out")
    artifact = open_artifact(path)
    Session(artifact.executable, num_threads=1)  # the native core checks what the program says
    graph = lift(artifact.executable)
    choices = {
        step.name: Choice(INT7)
        for step in artifact.manifest.program.steps
        if step.attributes.get("weight_bits") == WEIGHT_BITS[INT7]
    }
    budget = artifact.certificate.budget
    for each in budget.fallbacks if budget else ():
        found = choices.get(each.name, Choice())
        choices[each.name] = found._replace(why=f"fell back from {each.instead_of} to hold the budget")
    dtype = str(artifact.manifest.recipe.get("dtype"))
    return _Found(str(path), artifact.manifest.model, dtype, {"typed": graph}, choices, (), artifact)


def _of_source(source: Any, recipe: Recipe, **options: Any) -> _Found:
    model = import_source(source, task=recipe.task, adapter=recipe.adapter, **options)
    fused = passes.fuse(model.graph)
    raise_problems(list(find_misfits(recipe, model, fused)))
    chosen = explain_precisions(fused, recipe)
    typed = draft(fused, recipe, {name: choice.precision for name, choice in chosen.items()})
    choices = {
        name: Choice(choice.precision, "" if choice.reason in _PLAIN_REASONS else choice.reason)
        for name, choice in chosen.items()
    }
    graphs: dict[Stage, Graph] = {"imported": model.graph, "fused": fused, "typed": typed}
    return _Found(
        _name(source), model.info, recipe.dtype, graphs, choices, (*model.notes, *_open_questions(recipe))
    )


def _name(source: Any) -> str:
    return type(source).__name__ if is_module(source) else str(source)


def _open_questions(recipe: Recipe) -> list[str]:
    """Return what is known only once the model is compiled."""
    notes = []
    if recipe.layer_dtype in WEIGHT_BITS and recipe.calibrates:
        notes.append(
            "scales, smoothing and rounding of 8-bit layers come from calibration, when it is compiled"
        )
    if recipe.budget is not None:
        notes.append("layers may fall back to more bits to hold the budget: compiling measures which ones")
    return notes


def _length(info: ModelInfo, batch: int, length: int | None) -> int:
    for name, size in (("batch", batch), ("length", length)):
        if size is not None and (type(size) is not int or size < 1):
            raise InputError(f"{name} is {size!r}, expected a number from 1")
    if length is None:
        return min(USUAL_LENGTH, info.max_seq_length)
    if length > info.max_seq_length and length > info.longest_sequence:
        raise InputError(f"length {length}: the model has {info.longest_sequence} positions")
    return length


def _inspect(found: _Found, batch: int, length: int, *, time: bool, num_threads: int | None) -> Inspection:
    graph = found.graphs["typed"]
    times, measured = _measure(found, batch, length, num_threads) if time else ({}, None)
    nodes = describe_nodes(graph, batch, length, choices=found.choices, times=times)
    sizes, types = sizes_of(graph), verify(graph)
    operations = sum(node.operations for node in nodes)
    return Inspection(
        source=found.source,
        compiled=found.artifact is not None,
        model=found.info.name,
        architecture=found.info.architecture,
        task=found.info.task,
        dtype=found.dtype,
        batch=batch,
        length=length,
        parameters=sum(size.parameters for size in sizes.values()),
        bytes=sum(size.bytes for size in sizes.values()),
        operations=operations,
        operations_per_token=operations / (batch * length),
        measured=measured,
        inputs=tuple(value_of(port.name, TensorType.of_port(port)) for port in graph.inputs),
        outputs=tuple(value_of(public, types[value]) for public, value in graph.outputs.items()),
        nodes=nodes,
        tree=fold(nodes, sizes),
        notes=found.notes,
        graphs=found.graphs,
    )


def _measure(
    found: _Found, batch: int, length: int, num_threads: int | None
) -> tuple[dict[str, float], Measured]:
    """Return the milliseconds of each step that the task's output needs, and as "" those of the run."""
    executable = (
        found.artifact.executable if found.artifact else CpuTarget().executable(found.graphs["typed"])
    )
    session = Session(executable, num_threads=num_threads)
    packed = random_batch(session, found.info.size("vocab_size"), batch, length)
    # A part of a model may end before what its task reads.
    wanted = {TASKS[found.info.task].output}.intersection(session.output_names) or session.output_names
    times = measure_steps(session, packed, [*wanted], SECONDS)
    wall = times.wall / 1e6
    steps = times.steps[:-1] / times.threads / 1e6
    named = {step.name: float(ms) for step, ms in zip(executable.program.steps, steps, strict=True) if ms}
    idle = max(1 - sum(named.values()) / wall, 0.0)
    return {**named, "": wall}, Measured(session.isa, times.threads, wall, idle)
