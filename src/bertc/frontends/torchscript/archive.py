"""Looks into a TorchScript file before PyTorch does: loading one runs the code that is in it."""

from __future__ import annotations

import zipfile
from pathlib import Path

from bertc.errors import CheckpointError, InputError

_GROWTH = 4
"""How much larger than the file its contents may be: PyTorch stores tensors as they are."""
_CODE = 64 << 20
"""What packed code may take beside."""


def check_archive(path: Path, *, allowed: bool) -> None:
    """Check that a file is TorchScript, and that it may be loaded. Nothing of it is run.

    Raises ``CheckpointError`` for anything else, ``InputError`` if loading is not allowed.
    """
    if not path.is_file():
        raise CheckpointError(f"there is no file {str(path)!r}")
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise CheckpointError(
            f"{path} is no TorchScript file, but a pickle of an older PyTorch, another format, or truncated "
            f"({error}). Save the module with torch.jit.trace(...).save(path)"
        ) from None
    names = {entry.filename.partition("/")[2] for entry in entries}
    if not ({"constants.pkl", "data.pkl"} <= names and any(name.startswith("code/") for name in names)):
        raise CheckpointError(
            f"{path} holds tensors or a pickle, not a TorchScript program. Of a state_dict or a module, "
            "make a model folder with save_pretrained, or pass the module itself to bertc.compile"
        )
    size = sum(entry.file_size for entry in entries)
    if size > _GROWTH * path.stat().st_size + _CODE:
        raise CheckpointError(
            f"{path} would take {size} bytes unpacked, {path.stat().st_size} as it is: it was not loaded"
        )
    if not allowed:
        raise InputError(
            f"{path} is TorchScript, and loading it runs code that is in it. If you trust its origin, pass "
            "allow_torchscript=True (--allow-torchscript)"
        )
