"""The door for each kind of source: a module, a file of a format, or else a model folder or hub id."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from bertc.errors import InputError
from bertc.frontends.huggingface import import_model
from bertc.frontends.imported_model import ImportedModel
from bertc.frontends.torch import import_module, is_module
from bertc.frontends.torchscript import SUFFIXES, import_torchscript
from bertc.home import expand_home


def import_source(
    source: Any,
    *,
    task: str | None = None,
    subfolder: str = "",
    adapter: str | None = None,
    tokenizer: str | os.PathLike[str] | None = None,
    output: str | None = None,
    example_inputs: Mapping[str, Any] | Sequence[Any] | None = None,
    allow_torchscript: bool = False,
) -> ImportedModel:
    """Read a model: an ``nn.Module``, an ``.onnx`` or TorchScript file, a model folder, or one of the hub.

    ``task`` is what the model is for, where its head or its outputs leave a choice.
    ``subfolder`` is where in a folder or repository the model is, ``adapter`` one of those that are there
    with it; ``tokenizer`` is the folder of the
    tokenizer of a file or module, ``output`` the one to compile where it has several.
    ``example_inputs`` are what a module is traced with. ``allow_torchscript`` allows to run the code
    in such a file.
    Raises ``CheckpointError``, ``MissingExtraError``, ``InputError``.
    """
    folder = None if tokenizer is None else expand_home(tokenizer)
    if adapter is not None and (is_module(source) or expand_home(source).is_file()):
        raise InputError(f"adapter {adapter!r} is for a model folder that holds it: leave it out")
    if is_module(source):
        return import_module(
            source, task=task, tokenizer=folder, example_inputs=example_inputs, output=output
        )
    if example_inputs is not None:
        raise InputError(f"example_inputs are for an nn.Module, not for {source}")
    path = expand_home(source)
    if path.suffix.lower() == ".onnx":
        from bertc.frontends.onnx import import_onnx

        return import_onnx(path, task=task, tokenizer=folder, output=output)
    if path.suffix.lower() in SUFFIXES and not path.is_dir():
        return import_torchscript(path, allowed=allow_torchscript, task=task, tokenizer=folder, output=output)
    if tokenizer is not None or output is not None:
        raise InputError(
            f"a tokenizer and an output are named for a file such as model.onnx or a module, not for {source}"
        )
    return import_model(source, task=task, subfolder=subfolder, adapter=adapter)
