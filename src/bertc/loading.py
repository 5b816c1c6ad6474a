"""``bertc.load``: maps a compiled file; compiles a checkpoint once, and maps it from the cache afterwards."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertc import encoder
from bertc.errors import InputError
from bertc.runtime.environment import hub_cache_folder

if TYPE_CHECKING:
    from bertc.encoder import Encoder
    from bertc.recipe import Recipe


def load(
    path: str | PathLike[str],
    *,
    num_threads: int | None = None,
    verify: bool = False,
    mmap: bool = True,
    dtype: str | None = None,
    recipe: str | PathLike[str] | Mapping[str, Any] | Recipe | None = None,
    offline: bool = False,
) -> Encoder:
    """Load a ``.bertc`` file, or a checkpoint: a Hugging Face folder or hub id.

    The class that comes back is that of the model's task. A checkpoint is compiled at first, as
    :func:`bertc.compile` does it with ``dtype`` and ``recipe`` (int8 without them), into the cache
    (``$BERTC_CACHE``), and mapped from there afterwards. ``offline`` takes a hub id from the hub's own cache
    or fails.

    ``num_threads`` defaults to what the affinity mask and the cgroup allow. ``verify`` checks the
    stored SHA-256 of the weights, which reads the whole file. ``mmap=False`` reads the file instead of
    mapping it, for those who overwrite files that are in use. Raises ``ArtifactError`` for a file that is
    damaged or cannot be opened, ``InputError`` for ``dtype`` or ``recipe`` with a compiled file, and what
    compiling raises.
    """
    if _is_compiled(path):
        if dtype is not None or recipe is not None:
            raise InputError(f"{path} is compiled already: dtype and recipe are for a checkpoint")
    else:
        path = compiled(path, dtype=dtype, recipe=recipe, offline=offline)
    return encoder.load(path, num_threads=num_threads, verify=verify, mmap=mmap)


def compiled(
    source: str | PathLike[str],
    *,
    dtype: str | None = None,
    recipe: str | PathLike[str] | Mapping[str, Any] | Recipe | None = None,
    offline: bool = False,
) -> Path:
    """Return the file in the cache that a checkpoint is compiled to, and compile it if there is none."""
    from bertc import cache

    folder = _folder(source)
    entry = None if folder is None else cache.Entry(folder, _options(dtype, recipe))
    found = None if entry is None else entry.find()
    return found or _compile(source, dtype, recipe, offline)


def _is_compiled(path: str | PathLike[str]) -> bool:
    """Tell whether a path is meant as a file: it is one, it ends as one, or no hub id looks like it."""
    text = os.fspath(path)
    if os.path.isdir(text):  # noqa: PTH112 (pathlib is not worth its time here)
        return False
    return not isinstance(path, str) or text.endswith(".bertc") or os.path.exists(text)  # noqa: PTH110


def _folder(source: str | PathLike[str]) -> Path | None:
    """Return the folder of a checkpoint that is on this machine, looked up without the hub's client."""
    path = Path(source).expanduser()
    if path.is_dir():
        return path.absolute()
    hub, name = hub_cache_folder(), str(source)
    for owner in ("", "" if "/" in name else "sentence-transformers/"):
        repository = hub / f"models--{(owner + name).replace('/', '--')}"
        try:
            snapshot = repository / "snapshots" / (repository / "refs" / "main").read_text("utf-8").strip()
        except (OSError, UnicodeError):
            continue
        if snapshot.is_dir():
            return snapshot
    return None


def _options(dtype: str | None, recipe: Any) -> list[Any]:
    """Return dtype and recipe as plain data."""
    if hasattr(recipe, "to_dict"):
        return [dtype, recipe.to_dict()]
    if isinstance(recipe, (str, PathLike)) and Path(recipe).is_file():
        return [dtype, Path(recipe).read_text("utf-8", "replace")]
    return [dtype, dict(recipe) if isinstance(recipe, Mapping) else recipe]


def _compile(source: str | PathLike[str], dtype: str | None, recipe: Any, offline: bool) -> Path:
    from bertc import cache
    from bertc.compiler.pipeline import choose_recipe, run_pipeline
    from bertc.frontends.huggingface import locate

    folder = locate(source if isinstance(source, str) else Path(source), offline=offline)
    entry = cache.Entry(folder.path.absolute(), _options(dtype, recipe))
    chosen = choose_recipe(recipe, dtype)
    place = entry.place(f"{folder.name}-{chosen.dtype}")
    with cache.compiling(place):
        if not place.is_file():
            limit = cache.size_limit()
            start = time.monotonic()
            _say(f"compiling {folder.name} to {chosen.dtype}, once: it is kept in {place.parent}")
            artifact = run_pipeline(folder.path, place, chosen, show_progress=True)
            seconds = time.monotonic() - start
            _say(
                f"{artifact.size / 1e6:.0f} MB in {seconds:.0f} s, compared with fp32: "
                f"{artifact.certificate.summary}"
            )
            entry.remember(place)
            for model in cache.clear(limit):
                _say(f"removed {model.path.name} from the cache, which is limited to {limit / 1e9:g} GB")
        else:
            entry.remember(place)
    return place


def _say(text: str) -> None:
    sys.stderr.write(f"bertc: {text}\n")
    sys.stderr.flush()
