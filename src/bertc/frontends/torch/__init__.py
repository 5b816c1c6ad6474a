"""The front end for modules of PyTorch: ``torch.export`` traces one, its ATen ops become a foreign graph."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bertc.frontends.imported_model import ImportedModel
from bertc.frontends.raised_model import Beside, import_raised
from bertc.frontends.torch.exporting import export
from bertc.frontends.torch.importing import to_foreign
from bertc.frontends.torch.objects import describe


def is_module(source: object) -> bool:
    """Return whether a source is an ``nn.Module``; PyTorch is imported by nobody who has none."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(source, torch.nn.Module)


def import_module(
    module: Any,
    *,
    task: str | None = None,
    tokenizer: str | Path | None = None,
    example_inputs: Mapping[str, Any] | Sequence[Any] | None = None,
    output: str | None = None,
) -> ImportedModel:
    """Read a model from an ``nn.Module``: one of transformers or sentence-transformers, or any other.

    ``tokenizer`` is the folder of its tokenizer. ``example_inputs`` are tensors [batch, length] that it is
    traced with, by name or place; by default they are made for what its ``forward`` takes. ``output`` is the
    output to compile of several, ``task`` what it is for. Raises ``CheckpointError`` if it cannot be
    traced, or that names the op which cannot be compiled.
    """
    described = describe(module)
    exported = export(described, example_inputs)
    foreign = to_foreign(exported)
    if output is not None:
        foreign = foreign.with_output(output, described.name)
    with tempfile.TemporaryDirectory(prefix="bertc-") as scratch:
        folder = Path(scratch)
        if tokenizer is None and described.save is not None:
            described.save(folder)
            tokenizer = folder
        return import_raised(
            foreign,
            Beside.of_object(described.config, tokenizer),
            name=described.name,
            files={},
            notes=(f"imported from a module of PyTorch, {type(module).__name__}",),
            output=output,
            task=task,
        )


__all__ = ["import_module", "is_module"]
