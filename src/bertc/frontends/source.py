"""The door for each kind of source: a file of a format, or else a model folder or hub id."""

from __future__ import annotations

import os
from pathlib import Path

from bertc.errors import InputError
from bertc.frontends.huggingface import import_model
from bertc.frontends.imported_model import ImportedModel


def import_source(
    source: str | Path,
    *,
    task: str | None = None,
    subfolder: str = "",
    tokenizer: str | os.PathLike[str] | None = None,
    output: str | None = None,
) -> ImportedModel:
    """Read a model from an ``.onnx`` file, a model folder, or the hub.

    ``subfolder`` is where in a folder or repository the model is; ``tokenizer`` is the folder of a file's
    tokenizer, ``output`` the one to compile where it has several.
    Raises ``CheckpointError``, ``MissingExtraError``, ``InputError``.
    """
    if Path(source).suffix.lower() == ".onnx":
        from bertc.frontends.onnx import import_onnx

        return import_onnx(
            Path(source).expanduser(), tokenizer=None if tokenizer is None else Path(tokenizer), output=output
        )
    if tokenizer is not None or output is not None:
        raise InputError(
            f"a tokenizer and an output are named for a file such as model.onnx, not for {source}"
        )
    return import_model(source, task=task, subfolder=subfolder)
