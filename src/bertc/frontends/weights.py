"""Finds the tensors of a checkpoint by the names that a family uses."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping

from bertc.architectures.model_builder import Rows
from bertc.errors import CheckpointError
from bertc.ir.graph import StoredTensor


def by_plain_name(
    tensors: Mapping[str, StoredTensor],
    renames: Mapping[str, str | tuple[str, ...]],
    wanted: Collection[str],
) -> dict[str, StoredTensor]:
    """Return tensors by name without the prefix that stands before those which are wanted.

    ``renames`` maps words of older names to today's (``Family.renames``). Raises ``CheckpointError`` if two
    prefixes fit equally well.
    """
    renamed: dict[str, StoredTensor] = {}
    for name, tensor in reversed(list(tensors.items())):
        renamed.update(_rename(name, tensor, renames))
    return {plain: renamed[name] for plain, name in strip_prefix(renamed, wanted).items()}


def _rename(
    name: str, tensor: StoredTensor, renames: Mapping[str, str | tuple[str, ...]]
) -> Iterator[tuple[str, StoredTensor]]:
    """Yield a tensor by today's name, or its parts by theirs."""
    for old, new in renames.items():
        start = f".{name}.".find(f".{old}.")
        if start < 0:
            continue
        before, after = name[:start], name[start + len(old) :]
        if isinstance(new, str):
            name = before + new + after
        elif tensor.shape:
            rows = tensor.shape[0] // len(new)
            for index, part in enumerate(new):
                yield before + part + after, Rows(tensor, slice(index * rows, (index + 1) * rows))
            return
    yield name, tensor


def strip_prefix(names: Iterable[str], wanted: Collection[str]) -> dict[str, str]:
    """Take off the names of a file's tensors the prefix that stands before those which are wanted.

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
    """Return all endings of a dotted name: ``a.b.c``, ``b.c`` and ``c``."""
    parts = name.split(".")
    return (".".join(parts[start:]) for start in range(len(parts)))


_BUFFERS = (
    *("position_ids", "token_type_ids", "inv_freq"),
    *("weight_integer", "bias_integer", "fc_scaling_factor", "act_scaling_factor", "weight_scaling_factor"),
    *(".x_min", ".x_max", ".shift"),
)
"""The endings of tensors that ``transformers`` computes and has stored at times; the last are I-BERT's."""
_LAYER = re.compile(r".*?\.\d+\.")


def unused_modules(names: Iterable[str], wanted: Collection[str]) -> list[str]:
    """Return the beginnings, of one or two words, of the names that nothing asked for.

    Modules of layers that others were asked of have their whole name, the same for all layers:
    ``encoder.layer.*.attention.self.query_global``.
    """
    layers = {_layer_of(name) for name in wanted}
    unused = [name for name in names if name not in wanted and not name.endswith(_BUFFERS)]
    return sorted({_module(name, _layer_of(name) if _layer_of(name) in layers else "") for name in unused})


def _layer_of(name: str) -> str:
    """Return ``encoder.layer.0.`` for a name that begins so; "" for one that is of no layer."""
    found = _LAYER.match(name)
    return found[0] if found else ""


def _module(name: str, layer: str) -> str:
    if not layer:
        return ".".join(name.split(".")[:2]).removesuffix(".weight")
    stack = layer[:-1].rpartition(".")[0]
    return f"{stack}.*.{name.removeprefix(layer).rpartition('.')[0]}"
