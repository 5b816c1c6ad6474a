"""``bertc inspect``: what a model is made of, and where each node runs; also the check before compiling."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bertc.cli.console import (
    AllowTorchscript,
    AsJson,
    DTypeName,
    OutputName,
    Subfolder,
    Task,
    Threads,
    TokenizerFolder,
    check_choice,
    print_facts,
    print_note,
    print_result,
    print_table,
    status,
)

if TYPE_CHECKING:
    from bertc.inspection.facts import Inspection


class StageName(str, Enum):
    """The stages of a graph."""

    IMPORTED = "imported"
    FUSED = "fused"
    TYPED = "typed"


def command(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE|FILE",
            help="A model folder, a hub id, an .onnx or a TorchScript file; or a compiled .bertc file.",
        ),
    ],
    recipe: Annotated[
        str | None, typer.Option(help="A recipe, .json or .yaml, or the name of a preset, as for compile.")
    ] = None,
    dtype: Annotated[
        DTypeName | None, typer.Option(help="Overrides the recipe; int8 when neither says.")
    ] = None,
    task: Task = None,
    subfolder: Subfolder = "",
    tokenizer: TokenizerFolder = None,
    output_name: OutputName = None,
    allow_torchscript: AllowTorchscript = False,
    batch: Annotated[int, typer.Option(min=1, help="Sequences that FLOP and times are for.")] = 1,
    length: Annotated[
        int | None, typer.Option(min=1, help="Tokens of each. Default: 128, or fewer where texts are cut.")
    ] = None,
    time: Annotated[bool, typer.Option("--time", help="Measure the time of each node, here.")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail if a node has no native op and would run on the host.")
    ] = False,
    onnx: Annotated[Path | None, typer.Option(help="Write the graph to this .onnx file, for Netron.")] = None,
    stage: Annotated[
        StageName | None, typer.Option(help="The graph for --onnx. Default: typed, which runs.")
    ] = None,
    weights: Annotated[
        bool, typer.Option("--weights", help="Write the weights to --onnx too, not only their shapes.")
    ] = False,
    html: Annotated[Path | None, typer.Option(help="Write a page with the picture of the graph.")] = None,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Show modules, shapes, sizes, FLOP, and where and in what each node runs; or what cannot be compiled."""
    from bertc.atomic_file import check_destination, replace_atomically
    from bertc.compiler.inspect import inspect
    from bertc.task_table import TASKS

    if task is not None:
        check_choice(task, TASKS, "--task")
    if onnx is None and (stage is not None or weights):
        raise typer.BadParameter("it is for --onnx", param_hint="--stage" if stage else "--weights")
    for path in filter(None, (onnx, html)):
        check_destination(path, source)
    with status("reading"):
        found = inspect(
            source,
            recipe,
            dtype=None if dtype is None else dtype.value,
            task=task,
            subfolder=subfolder,
            tokenizer=tokenizer,
            output_name=output_name,
            allow_torchscript=allow_torchscript,
            batch=batch,
            length=length,
            time=time,
            num_threads=threads,
        )
    files: dict[Path, bytes] = {}
    if onnx is not None and not found.nowhere:
        files[onnx] = _onnx(found, (stage or StageName.TYPED).value, weights)
    if html is not None and not found.nowhere:
        from bertc.inspection.page import render

        files[html] = render(found).encode()
    shown = _print_refused if found.nowhere else _print
    print_result(found.to_json_value(), as_json, lambda _: shown(found))
    if found.nowhere:
        _refuse_nowhere(found)
    if strict:
        _refuse_host(found)
    for path, data in files.items():
        with replace_atomically(path) as file:
            file.write(data)


def _onnx(found: Inspection, stage: Any, weights: bool) -> bytes:
    from bertc.errors import InputError
    from bertc.inspection.netron import make_model

    if stage not in found.graphs:
        raise InputError(f"{found.source} is compiled: of its stages only typed is left")
    model = make_model(found.graphs[stage], name=found.model, weights=weights)
    return bytes(model.SerializeToString())


def _print(found: Inspection) -> None:
    from bertc.inspection.table import MEGA, tabulate

    shape = f"{found.batch} x {found.length} tokens"
    facts: dict[str, Any] = {
        "source": found.source,
        "model": f"{found.model}, {found.architecture}, {found.task}",
        "dtype": found.dtype if found.compiled else f"{found.dtype}, as compiling would make it",
        "parameters": found.parameters,
        "constants, bytes": found.bytes,
        f"MFLOP, {shape}": f"{found.operations / MEGA:,.1f}",
        "MFLOP per token": f"{found.operations_per_token / MEGA:,.2f}",
        "nodes": f"{len(found.nodes)}, of which {len(found.on_host)} run on the host",
    }
    if (run := found.measured) is not None:
        what = f"{run.threads} threads, {run.isa}, idle for {100 * run.idle:.1f} % of the time"
        facts[f"ms, {shape}"] = f"{run.milliseconds:.3f} ({what})"
    facts |= {f"input {value.name}": str(value) for value in found.inputs}
    facts |= {f"output {value.name}": str(value) for value in found.outputs}
    print_facts("inspected", facts)
    print_table(*tabulate(found))
    for note in found.notes:
        print_note(f"Note: {note}.")


def _print_refused(found: Inspection) -> None:
    rows = [(node.name, node.op, node.place, node.why) for node in found.nowhere]
    print_table(f"{found.source} cannot be compiled", ("node", "op", "runs", "why"), rows)
    for note in found.notes:
        print_note(f"Note: {note}.")


def _refuse_nowhere(found: Inspection) -> None:
    from bertc.errors import CheckpointError

    raise CheckpointError(
        f"{found.source} has nodes that can run nowhere: {len(found.nowhere)}, the first is"
        f" {found.nowhere[0].name!r} ({found.nowhere[0].op}); nothing was written"
    )


def _refuse_host(found: Inspection) -> None:
    from bertc.errors import CheckpointError
    from bertc.primitives.host_steps import find_host_steps, tell_host_steps

    if on_host := find_host_steps(found.graphs["typed"].nodes):
        raise CheckpointError(f"strict refuses {tell_host_steps(on_host)}")
