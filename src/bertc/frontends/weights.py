"""Matches a checkpoint's tensors with what a family needs, and says at once all that does not fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from bertc.errors import CheckpointError
from bertc.frontends.checkpoint import StoredTensor

Array = np.ndarray[Any, Any]

_OLD_NAMES = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}


def by_plain_name(tensors: Mapping[str, StoredTensor], prefix: str) -> dict[str, StoredTensor]:
    """Tensors by name without the family's prefix, with today's names of layer norm's vectors."""
    plain: dict[str, StoredTensor] = {}
    for name, tensor in tensors.items():
        for old, new in _OLD_NAMES.items():
            name = f"{name.removesuffix(old)}{new}" if name.endswith(old) else name
        plain.setdefault(name.removeprefix(prefix), tensor)
    return plain


def strip_prefix(names: Iterable[str], wanted: Collection[str]) -> dict[str, str]:
    """The names of a file's tensors without the prefix that stands before those which are wanted.

    The prefix is found by matching, as training frameworks put ``module.``, ``_orig_mod.`` and others before
    all names. Its own beginnings come off names that lack the rest: a head that is wanted as
    ``classifier.weight`` may be stored as ``module.classifier.weight`` beside ``module.bert.embeddings...``.
    Returns plain name -> name in the file, for all names. Raises ``CheckpointError`` if two prefixes fit
    equally well.
    """
    names = list(names)
    found = Counter(
        name.removesuffix(suffix) for name in names for suffix in _suffixes(name) if suffix in wanted
    )
    best = [prefix for prefix, count in found.items() if count == max(found.values())]
    if len(best) > 1 and "" not in best:
        prefixes = ", ".join(map(repr, sorted(best)))
        raise CheckpointError(
            f"the checkpoint holds {len(best)} models, with tensors under {prefixes}: "
            "save the one that is meant by itself"
        )
    parts = [] if not best or "" in best else best[0].split(".")[:-1]
    plain: dict[str, str] = {}
    for count in range(len(parts), -1, -1):
        prefix = "".join(f"{part}." for part in parts[:count])
        for name in [name for name in names if name.startswith(prefix)]:
            plain.setdefault(name.removeprefix(prefix), name)
            names.remove(name)
    return plain


def _suffixes(name: str) -> Iterator[str]:
    """``a.b.c``, ``b.c`` and ``c``."""
    parts = name.split(".")
    return (".".join(parts[start:]) for start in range(len(parts)))


def load(
    tensors: Mapping[str, StoredTensor], shapes: Mapping[str, tuple[int, ...]], where: str
) -> dict[str, Array]:
    """The tensors that ``shapes`` asks for, float32. Others are left unread.

    Raises ``CheckpointError`` that lists every missing tensor and every wrong shape.
    """
    missing = [name for name in shapes if name not in tensors]
    wrong = [
        f"{name} is {list(tensors[name].shape)}, expected {list(shape)}"
        for name, shape in shapes.items()
        if name in tensors and tensors[name].shape != shape
    ]
    problems = []
    if missing:
        problems.append(f"missing tensors: {', '.join(missing)}")
    if wrong:
        problems.append(f"tensors whose shapes do not fit config.json: {'; '.join(wrong)}")
    if problems:
        raise CheckpointError(f"{where}: {'. '.join(problems)}")
    return {name: tensors[name].read() for name in shapes}
