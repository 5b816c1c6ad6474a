"""The sentence-transformers side of a model folder: modules.json and what it refers to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bertc.errors import CheckpointError
from bertc.frontends.folder import CheckpointFolder

MODULES = "modules.json"
_POOLING = ("cls", "mean", "max", "pooler")
_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


@dataclass(frozen=True)
class SentenceModules:
    """The modules that follow the transformer in a sentence-transformers model."""

    subfolder: str = ""
    """The folder of the transformer's files: empty, or ending in a slash."""
    pooling: str = "mean"
    """The mode of pooling; the default is what sentence-transformers itself puts on a plain encoder."""
    normalize: bool = False


def read_modules(folder: CheckpointFolder) -> SentenceModules | None:
    """Return the modules of the folder, or None if it has no modules.json.

    Raises ``CheckpointError`` that names a module or a pooling mode that is not supported.
    """
    if not folder.has(MODULES):
        return None
    modules = folder.read_json_list(MODULES)
    kinds = [str(module.get("type", "")).rpartition(".")[2] for module in modules]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise CheckpointError(
            f"{folder.path / MODULES}: the modules are {' -> '.join(kinds) or 'none'}; supported is "
            f"Transformer -> Pooling, with Normalize after it or not"
        )
    _refuse_default_prompt(folder)
    paths = [str(module.get("path", "")).strip("/") for module in modules]
    pooling = _pooling_mode(folder, f"{paths[1]}/config.json" if paths[1] else "config.json")
    return SentenceModules(f"{paths[0]}/" if paths[0] else "", pooling, "Normalize" in kinds)


def _pooling_mode(folder: CheckpointFolder, file: str) -> str:
    config = folder.read_json(file)
    where = folder.path / file
    if config.get("pooling_mode") is not None:
        modes = [config["pooling_mode"]]
    else:
        # Mean is on unless it is switched off: the default of the library's constructor.
        modes = [mode for flag, mode in _FLAGS.items() if config.get(flag, mode == "mean")]
    if len(modes) != 1:
        raise CheckpointError(
            f"{where} sets {len(modes)} pooling modes ({', '.join(modes) or 'none'}): concatenated "
            "poolings are not supported, exactly one must be on"
        )
    if modes[0] not in _POOLING:
        raise CheckpointError(
            f"{where}: pooling mode {modes[0]!r} is not supported, only {', '.join(_POOLING)}"
        )
    return str(modes[0])


def _refuse_default_prompt(folder: CheckpointFolder) -> None:
    file = "config_sentence_transformers.json"
    prompt = folder.read_json_if_there(file).get("default_prompt_name")
    if prompt:
        raise CheckpointError(
            f"{folder.path / file}: a default prompt ({prompt!r}) is not supported. Set "
            "default_prompt_name to null and put the prompt before your texts"
        )


def max_seq_length(
    sentence_config: dict[str, Any], tokenizer_config: dict[str, Any], max_position_embeddings: int
) -> int:
    """Return the longest sequence in tokens by the two configs, the first that says one, within the table."""
    keys = ((sentence_config, "max_seq_length"), (tokenizer_config, "model_max_length"))
    for config, key in (*keys, (tokenizer_config, "max_len")):
        limit = config.get(key)
        if limit is None:
            continue
        if type(limit) not in (int, float) or not limit >= 1:
            raise CheckpointError(f"{key} is {limit!r}, expected a positive number")
        return int(min(limit, max_position_embeddings))
    return max_position_embeddings
