"""``bertc statistics``: collects what calibration learns of a model, to be used again, and shows it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bertc.cli.console import (
    AllowTorchscript,
    AsJson,
    Inputs,
    InputsName,
    OutputName,
    Subfolder,
    Task,
    TokenizerFolder,
    Until,
    check_choice,
    print_facts,
    print_json,
    print_rows,
)

app = typer.Typer(help="Collect and show calibration statistics.", no_args_is_help=True)


@app.command("collect")
def collect(
    model: Annotated[str, typer.Argument(help="A model folder, a hub id, an .onnx or a TorchScript file.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The file to write: calibration.statistics of a recipe.")
    ],
    recipe: Annotated[
        Path | None, typer.Option(help="A recipe, for its calibration data and its 8-bit layers.")
    ] = None,
    task: Task = None,
    subfolder: Subfolder = "",
    tokenizer: TokenizerFolder = None,
    output_name: OutputName = None,
    allow_torchscript: AllowTorchscript = False,
    inputs: Inputs = InputsName.IDS,
    until: Until = None,
) -> None:
    """Run calibration data through a model and write the statistics of what its 8-bit layers read."""
    from bertc.atomic_file import check_destination
    from bertc.compiler.calibration import collect_from_model
    from bertc.runtime.items import subfolder_path
    from bertc.task_table import TASKS

    if task is not None:
        check_choice(task, TASKS, "--task")
    check_destination(output, model)
    statistics = collect_from_model(
        model,
        recipe,
        task=task,
        subfolder=subfolder_path(subfolder),
        tokenizer=tokenizer,
        output=output_name,
        allow_torchscript=allow_torchscript,
        inputs=inputs.value,
        until=until,
        show_progress=True,
    )
    statistics.save(output)
    facts = {"output": str(output), "inputs": len(statistics.edges), **statistics.provenance}
    print_facts("collected", facts)


@app.command("show")
def show(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What bertc statistics collect wrote.")],
    as_json: AsJson = False,
) -> None:
    """Show the inputs of 8-bit layers that were watched: their range and their outliers."""
    from bertc.quantize.statistics import Statistics

    statistics = Statistics.load(file)
    edges = [
        {
            "input": name,
            "rows": edge.rows,
            "channels": len(edge.mean),
            "low": float(edge.low.min()),
            "high": float(edge.high.max()),
            "largest_channel": edge.largest_outlier(),
        }
        for name, edge in statistics.edges.items()
    ]
    if as_json:
        print_json({"provenance": dict(statistics.provenance), "edges": edges})
        return
    print_facts("calibrated on", statistics.provenance)
    headings = {"largest_channel": "largest channel / median"}
    columns = {key: headings.get(key, key) for edge in edges[:1] for key in edge}
    print_rows("inputs of 8-bit layers", columns, edges)
