"""Adapters that a checkpoint holds beside its weights, of which a model has one.

jina-embeddings-v3 has one for each task (LoRA, Hu et al. 2021, arXiv:2106.09685) and stores them as PyTorch's
parametrizations do: ``NAME.parametrizations.weight.original``, and beside it ``lora_A`` and ``lora_B`` of all
adapters, in the order in which config.json names them. jina-embeddings-v5 has them in folders, as peft saves
them. X-MOD has one for each language, in layers of their own.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from bertc.errors import CheckpointError
from bertc.frontends.folder import CheckpointFolder
from bertc.frontends.peft_adapters import FOLDER, Merged, adapter_names, merge_peft
from bertc.ir.graph import StoredTensor

_PARAMETRIZED = ".parametrizations.weight."
_ORIGINAL = f"{_PARAMETRIZED}original"
_LANGUAGES = ".adapter_modules."


def merge_adapter(
    folder: CheckpointFolder,
    subfolder: str,
    tensors: Mapping[str, StoredTensor],
    config: Mapping[str, Any],
    adapter: str | None,
) -> Mapping[str, StoredTensor]:
    """Return tensors by their plain names, the adapter of that name added to those which it changes.

    Without a name the weights are those that all adapters share, and a warning says which there are; of
    languages it is that of config.json. Raises ``CheckpointError`` for an adapter that the checkpoint does
    not have.
    """
    if any(_LANGUAGES in name for name in tensors):
        return _of_language(tensors, adapter or config.get("default_language"))
    names, stated = adapter_names(folder, subfolder), config.get("lora_adaptations")
    parametrized = any(name.endswith(_ORIGINAL) for name in tensors)
    if not parametrized and not names:
        if adapter is not None:
            raise CheckpointError(f"the checkpoint has no adapters in it: leave out adapter {adapter!r}")
        return tensors
    if parametrized:
        names = [str(each) for each in stated] if isinstance(stated, list) else []
    listed = ", ".join(map(repr, names)) or "none that config.json names"
    if adapter is not None and adapter not in names:
        raise CheckpointError(f"adapter is {adapter!r}, the checkpoint has {listed}")
    if adapter is None:
        warnings.warn(
            f"the checkpoint has adapters, {listed}: without one it gives vectors for no task in particular. "
            "adapter=NAME, or --adapter NAME, merges one",
            stacklevel=4,
        )
    if not parametrized:
        where = f"{subfolder}{FOLDER}{adapter}/"
        return tensors if adapter is None else merge_peft(folder, where, tensors)
    found: dict[str, StoredTensor] = {}
    for name, tensor in tensors.items():
        if name.endswith(_ORIGINAL):
            module = name.removesuffix(_ORIGINAL)
            merged = tensor if adapter is None else _merge(tensors, config, module, names.index(adapter))
            found[f"{module}.weight"] = merged
        elif _PARAMETRIZED not in name:
            found[name] = tensor
    return found


def _of_language(tensors: Mapping[str, StoredTensor], language: Any) -> Mapping[str, StoredTensor]:
    """Return tensors by name, of adapters those of a language: ``adapter`` stands for them."""
    languages = {name.partition(_LANGUAGES)[2].partition(".")[0] for name in tensors if _LANGUAGES in name}
    if language not in languages:
        raise CheckpointError(
            f"adapter is {language!r}, and the checkpoint has one for each of its languages: "
            f"{', '.join(sorted(languages))}. adapter=NAME, or --adapter NAME, chooses one"
        )
    own = f"{_LANGUAGES}{language}."
    kept = (name for name in tensors if _LANGUAGES not in name or own in name)
    return {name.replace(own, ".adapter."): tensors[name] for name in kept}


def _merge(
    tensors: Mapping[str, StoredTensor], config: Mapping[str, Any], module: str, index: int
) -> StoredTensor:
    """Return the matrix of a module with an adapter: W + B A of a linear layer, W + A B of a table."""
    original = tensors[module + _ORIGINAL]
    first, second = (tensors.get(f"{module}{_PARAMETRIZED}0.lora_{name}") for name in "AB")
    rank, alpha = config.get("lora_rank", 4), config.get("lora_alpha", 1)
    for left, right in ((second, first), (first, second)):
        if left is None or right is None or type(rank) is not int or type(alpha) not in (int, float):
            break
        count = max(index + 1, left.shape[0] if left.shape else 0)
        rows, columns = original.shape if len(original.shape) == 2 else (0, 0)
        if (left.shape, right.shape) == ((count, rows, rank), (count, rank, columns)):
            return Merged(original, left, right, alpha / rank, index)
    shapes = [None if each is None else list(each.shape) for each in (first, second)]
    raise CheckpointError(
        f"lora_A and lora_B of {module} are {shapes}: no adapters of rank {rank!r} for {list(original.shape)}"
    )
