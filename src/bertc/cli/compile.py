"""``bertc compile``: a checkpoint to a file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from bertc.cli.console import AsJson, DTypeName, print_facts, print_json, status


def command(
    model: Annotated[str, typer.Argument(help="A Hugging Face model folder, or a hub id.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")],
    dtype: Annotated[
        DTypeName | None, typer.Option(help="Overrides the recipe; int8 when neither says.")
    ] = None,
    recipe: Annotated[Path | None, typer.Option(help="A recipe, .json or .yaml.")] = None,
    as_json: AsJson = False,
) -> None:
    """Compile a Hugging Face BERT checkpoint to one .bertc file."""
    import bertc

    start = time.perf_counter()
    with status(f"compiling {model}"):
        artifact = bertc.compile(model, output, recipe, dtype=None if dtype is None else dtype.value)
    seconds = time.perf_counter() - start
    manifest = artifact.manifest
    facts: dict[str, Any] = {
        "output": str(output),
        "model": manifest.model.name,
        "task": manifest.model.task,
        "dtype": manifest.recipe.get("dtype"),
        "bytes": artifact.size,
        "seconds": seconds,
        "certificate": artifact.certificate.to_json_value() if as_json else artifact.certificate.summary,
    }
    if as_json:
        print_json(facts)
        return
    print_facts("compiled", facts)
