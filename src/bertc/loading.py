"""``bertc.load``: maps a compiled file; compiles a checkpoint once, and maps it from the cache afterwards."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertc import encoder
from bertc.errors import ArtifactError, CheckpointError, InputError
from bertc.home import expand_home
from bertc.runtime.environment import hub_cache_folder
from bertc.runtime.items import path_text, subfolder_path

if TYPE_CHECKING:
    from bertc import cache
    from bertc.encoder import Encoder
    from bertc.recipe import Recipe

SOURCES = (".onnx", ".pt", ".pth", ".ts", ".torchscript")
"""The endings of files that front ends read, and that are compiled as a checkpoint is."""
_SETTINGS = (".json", ".txt", ".model")
"""The endings of what belongs to a tokenizer or a config."""
_EXPECTED = ("config.json", "modules.json", "adapter_config.json")
"""Files of which a checkpoint's folder has one at least: an adapter's is refused with advice."""


def load(
    path: str | PathLike[str],
    *,
    num_threads: int | None = None,
    verify: bool = False,
    mmap: bool = True,
    dtype: str | None = None,
    recipe: str | PathLike[str] | Mapping[str, Any] | Recipe | None = None,
    subfolder: str = "",
    offline: bool = False,
    tokenizer: str | PathLike[str] | None = None,
    output_name: str | None = None,
    allow_torchscript: bool = False,
) -> Encoder:
    """Load a ``.bertc`` file, or a checkpoint: a Hugging Face folder or hub id, an ONNX or TorchScript file.

    The class that comes back is that of the model's task. A checkpoint is compiled at first, as
    :func:`bertc.compile` does it with ``dtype`` and ``recipe`` (int8 without them), into the cache
    (``$BERTC_CACHE``), and mapped from there afterwards. ``subfolder`` is where in the folder or repository
    the checkpoint is. ``offline`` takes a hub id from the hub's own cache or fails. ``tokenizer``,
    ``output_name`` and ``allow_torchscript`` are those of :func:`bertc.compile`, for ONNX and TorchScript.

    ``num_threads`` defaults to what the affinity mask and the cgroup allow. ``verify`` checks the
    stored SHA-256 of the weights, which reads the whole file. ``mmap=False`` reads the file instead of
    mapping it, for those who overwrite files that are in use. Raises ``ArtifactError`` for a file that is
    damaged or cannot be opened, ``InputError`` for ``dtype``, ``recipe`` and other options of
    compiling with a compiled file, and what compiling raises.
    """
    if is_compiled(path):
        if subfolder or any(each is not None for each in (dtype, recipe, tokenizer, output_name)):
            raise InputError(
                f"{path} is compiled already: dtype, recipe and subfolder are for a checkpoint, tokenizer "
                "and output_name for an ONNX or TorchScript file"
            )
    else:
        options: dict[str, Any] = {
            "dtype": dtype,
            "recipe": recipe,
            "subfolder": subfolder,
            "offline": offline,
            "tokenizer": tokenizer,
            "output_name": output_name,
            "allow_torchscript": allow_torchscript,
        }
        source, path = path, compiled(path, **options)
        try:
            return encoder.load(path, num_threads=num_threads, verify=verify, mmap=mmap)
        except ArtifactError as error:
            _discard(path, error)
        path = compiled(source, **options)
    return encoder.load(path, num_threads=num_threads, verify=verify, mmap=mmap)


def compiled(
    source: str | PathLike[str],
    *,
    dtype: str | None = None,
    recipe: str | PathLike[str] | Mapping[str, Any] | Recipe | None = None,
    subfolder: str = "",
    offline: bool = False,
    tokenizer: str | PathLike[str] | None = None,
    output_name: str | None = None,
    allow_torchscript: bool = False,
) -> Path:
    """Return the file in the cache that a checkpoint is compiled to, and compile it if there is none."""
    subfolder = subfolder_path(subfolder)
    file = _source_file(source)
    if file is None and (tokenizer is not None or output_name is not None):
        raise InputError(f"tokenizer and output_name are for a file such as model.onnx, not for {source}")
    if file is not None and subfolder:
        raise InputError(f"subfolder is for a folder or a hub id, {file} is a file")
    try:
        if file is not None:
            return _compiled_file(file, dtype, recipe, tokenizer, output_name, allow_torchscript)
        folder = _folder(source, subfolder)
        entry = None if folder is None else _entry(folder, dtype, recipe)
        found = None if entry is None else entry.find()
        return found or _compile(source, dtype, recipe, subfolder, offline)
    except OSError as error:
        raise CheckpointError(f"cannot read {error.filename or source}: {error.strerror or error}") from None


def file_of(source: str | PathLike[str], subfolder: str = "", recipe: str | None = None) -> Path:
    """Return a compiled file as it is, and for anything else the one in the cache that it is compiled to."""
    if not is_compiled(source) or subfolder:
        return compiled(source, subfolder=subfolder, recipe=recipe)
    if recipe is not None:
        raise InputError(f"{source} is compiled already: a recipe is for a checkpoint")
    return Path(source)


def _discard(path: Path, error: ArtifactError) -> None:
    """Remove a file of the cache that cannot be opened; raises the error again where that is not allowed."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        raise error from None
    _say(f"{error}. That file was in the cache: it is compiled again")


def is_compiled(path: str | PathLike[str]) -> bool:
    """Tell whether a path is meant as a file: it is one, it ends as one, or no hub id looks like it."""
    text = path_text(path, "path", "the path of a file or folder, or a hub id")
    if _source_file(path) is not None or os.path.isdir(text):  # noqa: PTH112 (pathlib is not worth its time here)
        return False
    return not isinstance(path, str) or text.endswith(".bertc") or os.path.exists(text)  # noqa: PTH110


def lasting_place(model: str | PathLike[str]) -> str:
    """Return what a path or hub id means in this folder, to be loaded by a process in any other."""
    path = Path(model)
    return str(path.absolute()) if path.exists() else os.fspath(model)


def _source_file(source: str | PathLike[str]) -> Path | None:
    """Return the path of a file that a front end reads; None for a folder, a hub id, a compiled file."""
    path = expand_home(source)
    return path if path.suffix.lower() in SOURCES and not path.is_dir() else None


def _folder(source: str | PathLike[str], subfolder: str) -> Path | None:
    """Return the folder of a checkpoint that is on this machine, looked up without the hub's client."""
    path = expand_home(source)
    if path.is_dir():
        path /= subfolder
        if not any((path / name).is_file() for name in _EXPECTED):
            return None  # no checkpoint, as compiling says: perhaps a folder of very many files
        return path.absolute()
    hub, name = hub_cache_folder(), str(source)
    for owner in ("", "" if "/" in name else "sentence-transformers/"):
        repository = hub / f"models--{(owner + name).replace('/', '--')}"
        try:
            snapshot = repository / "snapshots" / (repository / "refs" / "main").read_text("utf-8").strip()
        except (OSError, UnicodeError):
            continue
        if (snapshot / subfolder).is_dir():
            return snapshot / subfolder
    return None


def _entry(
    checkpoint: Path, dtype: str | None, recipe: Any, more: Sequence[Any] = (), beside: Iterable[Path] = ()
) -> cache.Entry:
    """Return the place in the cache of a checkpoint that is compiled with a dtype and a recipe.

    ``more`` options count, and the files ``beside`` a checkpoint that is a file.
    """
    from bertc import cache

    if recipe is None:
        return cache.Entry(checkpoint, [dtype, None, *more], map(str, beside))
    from bertc.recipe import Recipe

    chosen = Recipe.load(recipe)
    named = [chosen.calibration.data, chosen.calibration.statistics]
    named.append(None if chosen.budget is None else chosen.budget.eval_data)
    data = [*map(str, beside), *(name for name in named if name is not None)]
    return cache.Entry(checkpoint, [dtype, chosen.to_dict(), *more], data)


def _compiled_file(
    path: Path,
    dtype: str | None,
    recipe: Any,
    tokenizer: str | PathLike[str] | None,
    output_name: str | None,
    allow_torchscript: bool,
) -> Path:
    """Return what an ONNX or TorchScript file is compiled to, as :func:`compiled` does."""
    above = [path.parent.parent] if path.parent.name == "onnx" else []
    folders = [path.parent, *above] if tokenizer is None else [expand_home(tokenizer)]
    beside = [file for folder in folders for file in _settings_in(folder)]
    path = path.absolute()
    entry = _entry(path, dtype, recipe, [output_name, [file.name for file in beside]], beside)
    if (found := entry.find()) is not None:
        return found
    if path.suffix.lower() == ".onnx":
        from bertc.frontends.onnx import external_data

        entry.add(external_data(path))
    name = f"{path.parent.name}-{path.stem}"
    options = {"tokenizer": tokenizer, "output_name": output_name, "allow_torchscript": allow_torchscript}
    return _compile_into_cache(entry, path, name, dtype, recipe, options)


def _settings_in(folder: Path) -> Iterator[Path]:
    """Yield the files of a tokenizer, a config and modules of sentence-transformers in a folder."""
    files = (path for path in sorted(folder.glob("*")) if path.suffix in _SETTINGS)
    yield from (path for path in files if path.is_file())
    yield from (path for path in sorted(folder.glob("[0-9]*_*")) if path.is_dir())


def _compile(
    source: str | PathLike[str], dtype: str | None, recipe: Any, subfolder: str, offline: bool
) -> Path:
    from bertc.frontends.huggingface import locate

    folder = locate(source if isinstance(source, str) else Path(source), subfolder, offline=offline)
    if not any(folder.has(name) for name in _EXPECTED):
        raise CheckpointError(f"{folder.path} is no model folder: there is no config.json in it")
    entry = _entry(folder.path.absolute(), dtype, recipe)
    return _compile_into_cache(entry, folder.path, folder.name, dtype, recipe, {})


def _compile_into_cache(
    entry: cache.Entry, source: Path, name: str, dtype: str | None, recipe: Any, options: Mapping[str, Any]
) -> Path:
    from bertc import cache
    from bertc.compiler.pipeline import choose_recipe, run_pipeline

    chosen = choose_recipe(recipe, dtype)
    place = entry.place(f"{name}-{chosen.dtype}")
    if place.is_file():  # perhaps in a cache that is only read
        entry.remember(place)
        return place
    with cache.compiling(place):
        if not place.is_file():
            limit = cache.size_limit()
            start = time.monotonic()
            _say(f"compiling {name} to {chosen.dtype}, once: it is kept in {place.parent}")
            artifact = run_pipeline(source, place, chosen, show_progress=True, **options)
            if entry.has_changed():
                place.unlink()
                raise CheckpointError(f"{source} was changed while it was compiled: load it again")
            seconds = time.monotonic() - start
            _say(
                f"{artifact.size / 1e6:.0f} MB in {seconds:.0f} s, compared with fp32: "
                f"{artifact.certificate.summary}"
            )
            entry.remember(place)
            with contextlib.suppress(OSError):  # models of other users stay
                for model in cache.clear(max(limit, 1)):
                    _say(f"removed {model.path.name} from the cache, which is limited to {limit / 1e9:g} GB")
    return place


def _say(text: str) -> None:
    sys.stderr.write(f"bertc: {text}\n")
    sys.stderr.flush()
