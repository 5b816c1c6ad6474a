"""``bertc compile``: turns a checkpoint into a file."""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bertc.cli.console import (
    Adapter,
    AllowTorchscript,
    AsJson,
    DTypeName,
    Inputs,
    InputsName,
    OutputName,
    Subfolder,
    TablesFile,
    Task,
    TokenizerFolder,
    Until,
    check_choice,
    print_facts,
    print_json,
)

if TYPE_CHECKING:
    from bertc.artifact.certificate import Certificate
    from bertc.artifact.reader import Artifact


SHORTEST_STEP = 0.05


def command(
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")],
    model: Annotated[
        str | None,
        typer.Argument(
            help="A Hugging Face model folder, a hub id, an .onnx or a TorchScript file.",
            show_default="the recipe's source",
        ),
    ] = None,
    dtype: Annotated[
        DTypeName | None, typer.Option(help="Overrides the recipe; int8 when neither says.")
    ] = None,
    task: Task = None,
    adapter: Adapter = None,
    subfolder: Subfolder = "",
    recipe: Annotated[
        Path | None, typer.Option(help="A recipe, .json or .yaml, or the name of a preset.")
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="A ready recipe, such as avx2 for AVX2 without VNNI: bertc recipe init --preset list."
        ),
    ] = None,
    profile: Annotated[
        str | None, typer.Option(help="Deprecated, use --preset: avx2 or vnni, for weights of 7 or 8 bits.")
    ] = None,
    max_drop: Annotated[
        str | None,
        typer.Option(
            metavar="SHARE",
            help="How much accuracy may be lost, such as 0.1%: layers fall back to more bits to keep it.",
        ),
    ] = None,
    eval_data: Annotated[
        Path | None,
        typer.Option(help="Labeled data: its score is certified, and what --max-drop is about."),
    ] = None,
    allow_over_budget: Annotated[
        bool, typer.Option("--allow-over-budget", help="Write the file even if --max-drop cannot be kept.")
    ] = False,
    tokenizer: TokenizerFolder = None,
    output_name: OutputName = None,
    allow_torchscript: AllowTorchscript = False,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Refuse what no native op computes: it would run on the host."),
    ] = False,
    inputs: Inputs = InputsName.IDS,
    until: Until = None,
    embeddings: TablesFile = None,
    as_json: AsJson = False,
) -> None:
    """Compile a BERT model, a Hugging Face checkpoint or an ONNX or TorchScript file, to one .bertc file."""
    from bertc.compiler import choose_recipe, run_pipeline
    from bertc.compiler.parts import tables_path
    from bertc.primitives.host_steps import find_host_steps, tell_host_steps

    _check_names(recipe, preset, profile, task)
    if model is None and recipe is None:
        raise typer.BadParameter("name a model, or a recipe with a source", param_hint="MODEL")
    tables = tables_path(output, inputs.value, embeddings)
    start = time.perf_counter()
    artifact = run_pipeline(
        model,
        output,
        choose_recipe(
            preset or recipe,
            None if dtype is None else dtype.value,
            task,
            profile,
            None if max_drop is None else _share(max_drop),
            eval_data,
            adapter,
        ),
        subfolder=subfolder,
        eval_data=eval_data,
        allow_over_budget=allow_over_budget,
        tokenizer=tokenizer,
        output_name=output_name,
        allow_torchscript=allow_torchscript,
        strict=strict,
        inputs=inputs.value,
        until=until,
        embeddings=embeddings,
        on_step=_print_step if sys.stderr.isatty() else None,
        show_progress=True,
    )
    seconds = time.perf_counter() - start
    manifest = artifact.manifest
    facts: dict[str, Any] = {
        "output": str(output),
        **({"embeddings": str(tables)} if tables is not None else {}),
        "model": manifest.model.name,
        "task": manifest.model.task,
        "dtype": manifest.recipe.get("dtype"),
        "bytes": artifact.size,
        "seconds": seconds,
    }
    if on_host := find_host_steps(manifest.program.steps):
        facts["host"] = [node for region in on_host.values() for node in region.sources]
    certificate = artifact.certificate
    if as_json:
        print_json({**facts, "certificate": certificate.to_json_value()})
        return
    if on_host:
        facts["host"] = tell_host_steps(on_host)
    outcomes = {**_outcomes(certificate), **_faster_preset(artifact)}
    print_facts("compiled", {**facts, "certificate": certificate.summary, **outcomes})


def _check_names(recipe: Path | None, preset: str | None, profile: str | None, task: str | None) -> None:
    from bertc.recipe.presets import PRESETS, PROFILES
    from bertc.task_table import TASKS

    if task is not None:
        check_choice(task, TASKS, "--task")
    if preset is not None:
        check_choice(preset, PRESETS, "--preset")
        if recipe is not None:
            raise typer.BadParameter("a preset is a recipe: name one of the two", param_hint="--preset")
    if profile is not None:
        check_choice(profile, PROFILES, "--profile")


def _outcomes(certificate: Certificate) -> dict[str, str]:
    """Return what became of ``--eval-data`` and ``--max-drop``."""
    facts = {}
    if (task := certificate.task) is not None:
        scores = [f"{name} {score:.2f} (fp32 {task.fp32[name]:.2f})" for name, score in task.compiled.items()]
        facts["scores"] = ", ".join(scores)
    if (budget := certificate.budget) is not None:
        facts["budget"] = (
            f"{budget.metric} drops by {100 * budget.drop:.3g} %, {100 * budget.max_drop:.3g} % is allowed; "
            f"without fallbacks {100 * budget.drop_before:.3g} %"
        )
        precisions = Counter(fallback.precision for fallback in budget.fallbacks)
        changed = " and ".join(f"{count} to {name}" for name, count in sorted(precisions.items()))
        facts["fallbacks"] = f"{changed}: bertc show --certificate names them" if changed else "none"
    return facts


def _faster_preset(artifact: Artifact) -> dict[str, str]:
    """Return what the preset ``avx2`` would gain and cost on a processor that it is for, if unused."""
    from bertc.recipe.presets import AVX2

    steps = [step for step in artifact.manifest.program.steps if step.op == "linear_int8"]
    bounded = all(step.attributes.get("weight_bound") == "fours" for step in steps)
    if artifact.certificate.isa != AVX2 or bounded:
        return {}
    gain = "about 1.1 times as fast on this processor, which has AVX2 and no VNNI"
    return {f"--preset {AVX2}": f"{gain}; a fifth more error (docs/accuracy.md)"}


def _share(text: str) -> float:
    """Return the number of a share from 0 to 1, which may be given in percent."""
    from bertc.recipe.keys import parse_share

    try:
        value = float(parse_share(text))
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise typer.BadParameter('expected a number from 0 to 1, or "0.1%"', param_hint="--max-drop")
    return value


def _print_step(name: str, seconds: float) -> None:
    """Print a line for a step that took time; most take none."""
    if seconds < SHORTEST_STEP:
        return
    typer.secho(f"{seconds:7.1f} s  {name}", err=True, dim=True)
