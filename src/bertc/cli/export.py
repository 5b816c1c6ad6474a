"""``bertc export``: writes a model for other hardware."""

from __future__ import annotations

import time
from enum import Enum
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
    TablesFile,
    Task,
    TokenizerFolder,
    Until,
    check_choice,
    print_facts,
    print_json,
)

app = typer.Typer(help="Write a model as a file for other hardware.", no_args_is_help=True)


class FormatName(str, Enum):
    """The ways to write the layers of an ONNX file."""

    FP32 = "fp32"
    QDQ = "qdq"
    QOPERATOR = "qoperator"


@app.callback()
def _root() -> None:
    """Write a model as a file for other hardware."""


@app.command("onnx")
def onnx(
    model: Annotated[
        str,
        typer.Argument(
            help="A .bertc file (in fp32, or in int8 with static ranges), or a model as compile takes"
            " it: a folder, a hub id, an .onnx or a TorchScript file."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The .onnx file to write.")],
    form: Annotated[
        FormatName,
        typer.Option(
            "--format", help="8 bits as qdq (QuantizeLinear, DequantizeLinear) or qoperator (MatMulInteger)."
        ),
    ] = FormatName.FP32,
    opset: Annotated[int, typer.Option(help="The version of ONNX's operators.")] = 17,
    batch: Annotated[int | None, typer.Option(help="A fixed number of sequences. Default: any.")] = None,
    length: Annotated[
        int | None, typer.Option(help="A fixed number of tokens, padding included. Default: any.")
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="For 8 bits: a recipe, .json or .yaml, or the name of a preset.")
    ] = None,
    task: Task = None,
    subfolder: Subfolder = "",
    tokenizer: TokenizerFolder = None,
    output_name: OutputName = None,
    allow_torchscript: AllowTorchscript = False,
    inputs: Inputs = InputsName.IDS,
    until: Until = None,
    embeddings: TablesFile = None,
    as_json: AsJson = False,
) -> None:
    """Write a model as ONNX: standard operators, padded batches with a mask, in fp32 or in 8 bits."""
    from bertc.compiler.export import export
    from bertc.compiler.parts import tables_path
    from bertc.task_table import TASKS

    if task is not None:
        check_choice(task, TASKS, "--task")
    start = time.perf_counter()
    path = export(
        model,
        output,
        format=form.value,
        opset=opset,
        batch=batch,
        length=length,
        recipe=recipe,
        task=task,
        subfolder=subfolder,
        tokenizer=tokenizer,
        output_name=output_name,
        allow_torchscript=allow_torchscript,
        inputs=inputs.value,
        until=until,
        embeddings=embeddings,
        show_progress=True,
    )
    tables = tables_path(path, inputs.value, embeddings)
    facts = {
        "output": str(path),
        **({"embeddings": str(tables)} if tables is not None else {}),
        "format": form.value,
        "opset": opset,
        "bytes": path.stat().st_size,
        "seconds": time.perf_counter() - start,
    }
    if as_json:
        print_json(facts)
        return
    print_facts("exported", facts)
