"""The front end for TorchScript: the graph of a traced module's file becomes a foreign graph."""

from __future__ import annotations

from pathlib import Path

from bertc.frontends.folder import CheckpointFolder
from bertc.frontends.imported_model import ImportedModel
from bertc.frontends.raised_model import Beside, import_raised
from bertc.frontends.torchscript.archive import check_archive
from bertc.frontends.torchscript.importing import to_foreign
from bertc.frontends.torchscript.program import Program

SUFFIXES = (".pt", ".pth", ".ts", ".torchscript")
"""The endings of files that this front end reads."""


def import_torchscript(
    path: Path,
    *,
    allowed: bool,
    task: str | None = None,
    tokenizer: str | Path | None = None,
    output: str | None = None,
) -> ImportedModel:
    """Read a model from the file of a traced module, if it is ``allowed`` to run the code in it.

    ``tokenizer`` is the folder of its tokenizer and config.json, by default that of the file. ``output`` is
    the output to compile of several, ``task`` what it is for. Raises ``CheckpointError`` that names the op
    which cannot be read or compiled, ``InputError`` if it is not allowed, ``MissingExtraError`` without
    PyTorch.
    """
    check_archive(path, allowed=allowed)
    folder = CheckpointFolder(path.parent, path.stem)
    folder.map(path.name)  # for its hash
    foreign = to_foreign(Program.load(path))
    if output is not None:
        foreign = foreign.with_output(output, str(path))
    return import_raised(
        foreign,
        Beside.find(path, tokenizer),
        name=path.stem,
        files=folder.hashes,
        notes=("imported from TorchScript",),
        output=output,
        task=task,
    )


__all__ = ["SUFFIXES", "import_torchscript"]
