"""``bertc.load``: maps a compiled file; compiles a checkpoint once, and maps it from the cache afterwards."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Mapping
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
) -> Encoder:
    """Load a ``.bertc`` file, or a checkpoint: a Hugging Face folder or hub id.

    The class that comes back is that of the model's task. A checkpoint is compiled at first, as
    :func:`bertc.compile` does it with ``dtype`` and ``recipe`` (int8 without them), into the cache
    (``$BERTC_CACHE``), and mapped from there afterwards. ``subfolder`` is where in the folder or repository
    the checkpoint is. ``offline`` takes a hub id from the hub's own cache or fails.

    ``num_threads`` defaults to what the affinity mask and the cgroup allow. ``verify`` checks the
    stored SHA-256 of the weights, which reads the whole file. ``mmap=False`` reads the file instead of
    mapping it, for those who overwrite files that are in use. Raises ``ArtifactError`` for a file that is
    damaged or cannot be opened, ``InputError`` for ``dtype``, ``recipe`` or ``subfolder`` with a
    compiled file, and what compiling raises.
    """
    if _is_compiled(path):
        if dtype is not None or recipe is not None or subfolder:
            raise InputError(f"{path} is compiled already: dtype, recipe and subfolder are for a checkpoint")
    else:
        options: dict[str, Any] = {
            "dtype": dtype,
            "recipe": recipe,
            "subfolder": subfolder,
            "offline": offline,
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
) -> Path:
    """Return the file in the cache that a checkpoint is compiled to, and compile it if there is none."""
    subfolder = subfolder_path(subfolder)
    try:
        folder = _folder(source, subfolder)
        entry = None if folder is None else _entry(folder, dtype, recipe)
        found = None if entry is None else entry.find()
        return found or _compile(source, dtype, recipe, subfolder, offline)
    except OSError as error:
        raise CheckpointError(f"cannot read {error.filename or source}: {error.strerror or error}") from None


def _discard(path: Path, error: ArtifactError) -> None:
    """Remove a file of the cache that cannot be opened; raises the error again where that is not allowed."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        raise error from None
    _say(f"{error}. That file was in the cache: it is compiled again")


def _is_compiled(path: str | PathLike[str]) -> bool:
    """Tell whether a path is meant as a file: it is one, it ends as one, or no hub id looks like it."""
    text = path_text(path, "path", "the path of a file or folder, or a hub id")
    if os.path.isdir(text):  # noqa: PTH112 (pathlib is not worth its time here)
        return False
    return not isinstance(path, str) or text.endswith(".bertc") or os.path.exists(text)  # noqa: PTH110


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


def _entry(folder: Path, dtype: str | None, recipe: Any) -> cache.Entry:
    """Return the place in the cache of a checkpoint that is compiled with a dtype and a recipe."""
    from bertc import cache

    if recipe is None:
        return cache.Entry(folder, [dtype, None])
    from bertc.recipe import Recipe

    chosen = Recipe.load(recipe)
    named = [chosen.calibration.data, chosen.calibration.statistics]
    named.append(None if chosen.budget is None else chosen.budget.eval_data)
    return cache.Entry(folder, [dtype, chosen.to_dict()], [name for name in named if name is not None])


def _compile(
    source: str | PathLike[str], dtype: str | None, recipe: Any, subfolder: str, offline: bool
) -> Path:
    from bertc import cache
    from bertc.compiler.pipeline import choose_recipe, run_pipeline
    from bertc.frontends.huggingface import locate

    folder = locate(source if isinstance(source, str) else Path(source), subfolder, offline=offline)
    if not any(folder.has(name) for name in _EXPECTED):
        raise CheckpointError(f"{folder.path} is no model folder: there is no config.json in it")
    entry = _entry(folder.path.absolute(), dtype, recipe)
    chosen = choose_recipe(recipe, dtype)
    place = entry.place(f"{folder.name}-{chosen.dtype}")
    if place.is_file():  # perhaps in a cache that is only read
        entry.remember(place)
        return place
    with cache.compiling(place):
        if not place.is_file():
            limit = cache.size_limit()
            start = time.monotonic()
            _say(f"compiling {folder.name} to {chosen.dtype}, once: it is kept in {place.parent}")
            artifact = run_pipeline(folder.path, place, chosen, show_progress=True)
            if entry.has_changed():
                place.unlink()
                raise CheckpointError(f"{folder.path} was changed while it was compiled: load it again")
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
