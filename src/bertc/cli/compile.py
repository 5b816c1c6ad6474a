"""``bertc compile``: a checkpoint to a file."""

from __future__ import annotations

import time
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from bertc.cli.console import AsJson, DTypeName, print_facts, print_json, status


class ProfileName(str, Enum):
    """Names of ``bertc.profiles``."""

    VNNI = "vnni"
    AVX2 = "avx2"


def command(
    model: Annotated[str, typer.Argument(help="A Hugging Face model folder, or a hub id.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")],
    dtype: Annotated[
        DTypeName | None, typer.Option(help="Overrides the recipe; int8 when neither says.")
    ] = None,
    profile: Annotated[
        ProfileName | None,
        typer.Option(help="Of int8: for processors with VNNI (the default), or with AVX2 and no VNNI."),
    ] = None,
    recipe: Annotated[Path | None, typer.Option(help="A recipe, .json or .yaml.")] = None,
    as_json: AsJson = False,
) -> None:
    """Compile a Hugging Face BERT checkpoint to one .bertc file."""
    import bertc

    start = time.perf_counter()
    with status(f"compiling {model}"):
        artifact = bertc.compile(model, output, recipe, dtype=_value(dtype), profile=_value(profile))
    seconds = time.perf_counter() - start
    manifest = artifact.manifest
    facts: dict[str, Any] = {
        "output": str(output),
        "model": manifest.model.name,
        "task": manifest.model.task,
        "dtype": manifest.recipe.get("dtype"),
        "bytes": artifact.size,
        "seconds": seconds,
        "certificate": dict(manifest.certificate),
    }
    if as_json:
        print_json(facts)
        return
    certificate = facts.pop("certificate")
    print_facts("compiled", facts)
    print_facts("certificate", certificate)


def _value(choice: Enum | None) -> str | None:
    return None if choice is None else str(choice.value)
