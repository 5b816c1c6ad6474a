"""The weights of a checkpoint: safetensors, one file or sharded, as float32, without PyTorch.

The safetensors library's NumPy reader knows no bf16, so the header is parsed here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from mmap import MADV_DONTNEED, mmap
from pathlib import Path
from typing import Any

import numpy as np

from bertc.artifact.file_stamp import FileStamp
from bertc.errors import CheckpointError
from bertc.frontends.folder import CheckpointFolder
from bertc.frontends.pickles import can_read_pickles, read_pickles
from bertc.ir import graph as ir

Array = np.ndarray[Any, Any]

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLES = ("pytorch_model*.bin", "pytorch_model.bin.index.json", "model.pt", "model.bin")
OTHER_FRAMEWORKS = {"tf_model*.h5": ("TensorFlow", "from_tf"), "flax_model*.msgpack": ("Flax", "from_flax")}
"""The framework of weights by the pattern of their file name, and transformers 4's keyword to read them."""

_STORED = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
_LARGEST_HEADER = 100_000_000
"""The longest header in bytes, a limit that the safetensors library sets."""


@dataclass(frozen=True, eq=False)
class StoredTensor:
    """A tensor in a mapped safetensors file."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    stamp: FileStamp
    data: mmap
    offset: int

    @property
    def file(self) -> str:
        """The path of the file."""
        return self.stamp.path

    def read(self) -> Array:
        """Return a float32 copy, and give back the memory of the mapped file.

        Raises ``CheckpointError`` for dtypes that are not floats, for NaN, and if the file was written to.
        """
        if self.stamp.was_written_to():
            raise CheckpointError(f"{self.file} was written to while it was compiled: compile it again")
        if self.dtype not in _STORED:
            raise CheckpointError(f"{self.file}: tensor {self.name!r} is {self.dtype}, expected a float type")
        raw = np.frombuffer(self.data, _STORED[self.dtype], math.prod(self.shape), self.offset)
        if self.dtype == "BF16":  # the upper half of a float32
            values = (raw.astype(np.uint32) << 16).view(np.float32)
        else:
            with np.errstate(over="ignore"):  # of float64: found below
                values = raw.astype(np.float32)
        if not np.isfinite(values).all():
            raise CheckpointError(f"{self.file}: tensor {self.name!r} holds infinite numbers or NaN")
        self.data.madvise(MADV_DONTNEED)
        return values.reshape(self.shape)


def read_tensors(
    folder: CheckpointFolder, subfolder: str = "", *, model_class: str
) -> Mapping[str, ir.StoredTensor]:
    """Return all tensors of the checkpoint by name, their data not yet read.

    Pickles are read where there is no safetensors file and PyTorch is installed. Raises ``CheckpointError``
    if there are no weights (with advice, if they are there in another form), or if a file is damaged.
    ``model_class`` goes into the advice.
    """
    single, index = (subfolder + file for file in (WEIGHTS, INDEX))
    if folder.has(single):
        return {tensor.name: tensor for tensor in file_tensors(folder, single)}
    if folder.has(index):
        return _sharded(folder, index)
    if can_read_pickles() and (pickled := read_pickles(folder, subfolder)):
        return pickled
    raise CheckpointError(_what_is_there(folder, subfolder, single, model_class))


def _what_is_there(folder: CheckpointFolder, subfolder: str, wanted: str, model_class: str) -> str:
    """Return why there are no weights in safetensors, and what to do about it.

    Of a model of the hub only the files that we read were downloaded: there, the cause is a guess.
    """
    path = folder.path / subfolder
    if pickles := _matches(path, PICKLES):
        return (
            f"{folder.path} holds its weights as a pickle ({pickles[0]}). Install PyTorch here to have it "
            f"read without running code, or convert it: {_conversion(folder, subfolder, model_class)}"
        )
    for pattern, (framework, keyword) in OTHER_FRAMEWORKS.items():
        if found := _matches(path, (pattern,)):
            command = _conversion(folder, subfolder, model_class, f", {keyword}=True")
            return (
                f"{folder.path} holds its weights for {framework} alone ({found[0]}). Convert it where "
                f"{framework}, PyTorch and transformers 4 are installed: {command}"
            )
    if folder.revision is not None:
        return (
            f"{folder.name} has no {wanted}. If it has a pytorch_model.bin, convert that where PyTorch is "
            f"installed: {_conversion(folder, subfolder, model_class)}"
        )
    files = ", ".join(sorted(each.name for each in path.iterdir())) if path.is_dir() else ""
    return f"{wanted} is missing in {folder.path}, which holds {files or 'nothing'}: download the model again"


def _matches(path: Path, patterns: Iterable[str]) -> list[str]:
    return [file.name for pattern in patterns for file in sorted(path.glob(pattern))]


def _conversion(folder: CheckpointFolder, subfolder: str, model_class: str, keyword: str = "") -> str:
    """Return the command that makes safetensors; a model of the hub goes into a folder of its own."""
    path = str(folder.path / subfolder)
    source, target = (path, path) if folder.revision is None else (folder.name, "converted")
    commands = (
        f"t.{name}.from_pretrained({source!r}{keyword}).save_pretrained({target!r})"
        for name, keyword in ((model_class, keyword), ("AutoTokenizer", ""))
    )
    return f'python -c "import transformers as t; {"; ".join(commands)}"'


def _sharded(folder: CheckpointFolder, index: str) -> dict[str, StoredTensor]:
    weight_map = folder.read_weight_map(index)
    files = sorted(set(weight_map.values()))
    found = {(file, tensor.name): tensor for file in files for tensor in file_tensors(folder, file)}
    absent = [name for name, file in weight_map.items() if (file, name) not in found]
    if absent:
        raise CheckpointError(f"{folder.path / index} lists tensors that its files lack: {', '.join(absent)}")
    return {name: found[file, name] for name, file in weight_map.items()}


def file_tensors(folder: CheckpointFolder, file: str) -> Iterator[StoredTensor]:
    """Yield the tensors of one safetensors file; every offset is checked against the file's size."""
    where = folder.path / file
    stamp = FileStamp.of(where, where.stat())
    data = folder.map(file)
    length = int.from_bytes(data[:8], "little")
    if isinstance(data, bytes) or len(data) < 8 or length > min(len(data) - 8, _LARGEST_HEADER):
        raise CheckpointError(f"{where} is not a safetensors file, or is cut off: download it again")
    try:
        header = json.loads(data[8 : 8 + length])
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{where} has a damaged header ({error}): download it again") from None
    if not isinstance(header, dict):
        raise CheckpointError(f"{where} has a damaged header (not an object): download it again")
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        shape, dtype, begin, end = _entry(entry, f"{where}: tensor {name!r}")
        if not 0 <= begin <= end <= len(data) - 8 - length:
            raise CheckpointError(f"{where}: tensor {name!r} lies outside the file: download it again")
        itemsize = np.dtype(_STORED[dtype]).itemsize if dtype in _STORED else None
        if itemsize and end - begin != math.prod(shape) * itemsize:
            raise CheckpointError(
                f"{where}: tensor {name!r} ({dtype} {list(shape)}) takes {end - begin} bytes, "
                f"expected {math.prod(shape) * itemsize}: download it again"
            )
        yield StoredTensor(name, shape, dtype, stamp, data, 8 + length + begin)


def _entry(entry: Any, where: str) -> tuple[tuple[int, ...], str, int, int]:
    try:
        shape, (begin, end), dtype = tuple(entry["shape"]), entry["data_offsets"], entry["dtype"]
    except (KeyError, TypeError, ValueError):
        raise CheckpointError(f"{where} has a damaged header entry: download the file again") from None
    numbers = (*shape, begin, end)
    if not isinstance(dtype, str) or any(type(n) is not int or n < 0 for n in numbers):
        raise CheckpointError(f"{where} has a damaged header entry: download the file again")
    return shape, dtype, begin, end
