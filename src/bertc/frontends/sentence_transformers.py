"""The sentence-transformers side of a model folder: modules.json and what it refers to."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from bertc.errors import CheckpointError
from bertc.frontends.checkpoint import read_tensors
from bertc.frontends.folder import CheckpointFolder
from bertc.heads import SentenceModule
from bertc.heads.head import MEAN_POOLING
from bertc.ir.graph import StoredTensor

MODULES = "modules.json"
CONFIG = "config_sentence_transformers.json"
_POOLINGS = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken", "pooler")
_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
"""The older keys, in the order in which several poolings are put side by side."""
_ACTIVATIONS = {
    "Identity": "none",
    "Tanh": "tanh",
    "ReLU": "relu",
    "GELU": "gelu",
    "Sigmoid": "sigmoid",
    "SiLU": "silu",
    "Mish": "mish",
}
"""The op for a class of ``torch.nn``."""
_SCORE_ACTIVATIONS = {"Identity": "none", "Sigmoid": "sigmoid", "Softmax": "softmax", "Tanh": "tanh"}
"""What a class of ``torch.nn`` does to the logits of a cross-encoder (``bertc.tasks.activations``)."""


@dataclass(frozen=True)
class SentenceModules:
    """The modules of a sentence-transformers model."""

    subfolder: str
    """The folder of the transformer's files: empty, or ending in a slash."""
    head: str
    """The name of the head that they make of the transformer (``bertc.heads``)."""
    modules: tuple[SentenceModule, ...]
    """What follows the transformer."""
    mask: Mapping[str, Any]
    """The config of a MultiVectorMask; empty if there is none, or it says nothing."""
    tensors: Mapping[str, StoredTensor]
    """The tensors of those that have some, by their names in the graph."""


def read_modules(folder: CheckpointFolder) -> SentenceModules | None:
    """Return the modules of the folder, or None if it has no modules.json.

    Raises ``CheckpointError`` that names a module, or an option of one, that is not supported.
    """
    if not folder.has(MODULES):
        return None
    first, *others = folder.read_json_list(MODULES) or [{}]
    if _kind(first) not in _TRANSFORMERS:
        raise CheckpointError(
            f"{folder.path / MODULES}: the first module is {_kind(first) or 'missing'}, not a Transformer"
        )
    config = folder.read_json_if_there(CONFIG)
    pylate = is_pylate(config)
    token_level = pylate or config.get("model_type") == "MultiVectorEncoder"
    values = _Values("token_embeddings" if token_level else "sentence_embedding")
    tensors: dict[str, StoredTensor] = {}
    modules: list[SentenceModule] = []
    mask: dict[str, Any] = {}
    for entry in others:
        if _kind(entry) == "MultiVectorMask":
            mask = folder.read_json_if_there(f"{_path(entry)}config.json")
            continue
        read = _READERS.get(_kind(entry))
        if read is None:
            raise CheckpointError(
                f"{folder.path / MODULES}: the module {_kind(entry)!r} is not supported, only "
                f"{', '.join(('Transformer', *_READERS))}"
            )
        module = read(folder, _path(entry), tensors)
        if module is not None and values.reads(folder, _path(entry), module):
            modules.append(module)
    if pylate:  # it normalizes without a module
        modules.append(SentenceModule("normalize"))
    head = "late_interaction" if token_level else _head(folder, modules)
    return SentenceModules(_path(first), head, tuple(modules), mask, MappingProxyType(tensors))


_TRANSFORMERS = ("Transformer", "MLMTransformer")


def is_pylate(config: Mapping[str, Any]) -> bool:
    """Return whether config_sentence_transformers.json is one that PyLate wrote."""
    model_type = config.get("model_type")
    return model_type == "ColBERT" or (model_type != "MultiVectorEncoder" and "query_prefix" in config)


class _Values:
    """Follows the values that modules read and write by name, of which a graph has one at a time."""

    def __init__(self, unnamed: str) -> None:
        """``unnamed`` is what a Dense module reads that does not say it."""
        self._unnamed = unnamed
        self._pooled = False

    def reads(self, folder: CheckpointFolder, path: str, module: SentenceModule) -> bool:
        """Return whether the module changes what the model returns. Raises ``CheckpointError``."""
        if module.kind == "pooling":
            self._pooled = True
        if module.kind not in ("dense", "normalize"):
            return True
        config = folder.read_json_if_there(f"{path}config.json")
        read = config.get("module_input_name") or (
            self._unnamed if module.kind == "dense" else "sentence_embedding"
        )
        written = config.get("module_output_name") or read
        now = "sentence_embedding" if self._pooled else "token_embeddings"
        if (read, written) == (now, now):
            return True
        if module.kind == "normalize" and {read, written} <= {"sentence_embedding", "token_embeddings"}:
            return False
        raise CheckpointError(
            f"{folder.path / path / 'config.json'}: a module that reads {read!r} and writes {written!r} is "
            f"not supported here, where the model has {now!r} alone"
        )


def _kind(entry: Mapping[str, Any]) -> str:
    return str(entry.get("type", "")).rpartition(".")[2]


def _path(entry: Mapping[str, Any]) -> str:
    path = str(entry.get("path", "")).strip("/")
    return f"{path}/" if path else ""


def _head(folder: CheckpointFolder, modules: list[SentenceModule]) -> str:
    """Return the name of the head that the modules make."""
    kinds = [module.kind for module in modules]
    if folder.read_json_if_there(CONFIG).get("model_type") == "CrossEncoder":
        if kinds:
            raise CheckpointError(
                f"{folder.path / MODULES}: {' -> '.join(kinds)} after a CrossEncoder's Transformer is no "
                "model here, only a sequence classifier alone"
            )
        _refuse_default_prompt(folder)
        return "classification"
    if kinds == ["splade"]:
        return "sparse"
    if kinds.count("pooling") == 1 and "splade" not in kinds:
        return "embedding"
    if kinds and not {"pooling", "splade"} & set(kinds):
        return "late_interaction"
    raise CheckpointError(
        f"{folder.path / MODULES}: {' -> '.join(kinds) or 'nothing'} after the Transformer makes no model: "
        "supported are one Pooling with other modules, a SpladePooling alone, or modules for every token"
    )


def _read_pooling(folder: CheckpointFolder, path: str, _: dict[str, StoredTensor]) -> SentenceModule:
    config = folder.read_json(f"{path}config.json")
    where = folder.path / f"{path}config.json"
    chosen = config.get("pooling_mode")
    if chosen is None:
        chosen = [mode for flag, mode in _FLAGS.items() if config.get(flag)] or ["mean"]
    modes = [chosen] if isinstance(chosen, str) else chosen
    unknown = [mode for mode in modes if mode not in _POOLINGS] if isinstance(modes, list) else [modes]
    if unknown or not modes:
        raise CheckpointError(
            f"{where}: pooling mode {unknown[0] if unknown else None!r} is not supported, only "
            f"{', '.join(_POOLINGS)}"
        )
    return SentenceModule("pooling", tuple(modes), include_prompt=config.get("include_prompt") is not False)


def _read_dense(folder: CheckpointFolder, path: str, tensors: dict[str, StoredTensor]) -> SentenceModule:
    config = folder.read_json(f"{path}config.json")
    where = folder.path / f"{path}config.json"
    activation = str(config.get("activation_function", "torch.nn.modules.activation.Tanh"))
    kind = activation.rpartition(".")[2]
    if kind not in _ACTIVATIONS or not activation.startswith("torch."):
        raise CheckpointError(
            f"{where}: activation_function {activation!r} is not supported, only {', '.join(_ACTIVATIONS)}"
        )
    size = config.get("out_features")
    if type(size) is not int or size < 1:
        raise CheckpointError(f"{where}: out_features is {size!r}, expected a positive integer")
    _add_tensors(folder, path, tensors)
    return SentenceModule(
        "dense",
        tensors=path.replace("/", "."),
        out_features=size,
        activation=_ACTIVATIONS[kind],
        bias=bool(config.get("bias", True)),
        residual=bool(config.get("use_residual", False)),
    )


def _read_layer_norm(folder: CheckpointFolder, path: str, tensors: dict[str, StoredTensor]) -> SentenceModule:
    _add_tensors(folder, path, tensors)
    return SentenceModule("layer_norm", tensors=path.replace("/", "."))


def _read_splade(folder: CheckpointFolder, path: str, _: dict[str, StoredTensor]) -> SentenceModule:
    config = folder.read_json_if_there(f"{path}config.json")
    strategy, activation = config.get("pooling_strategy", "max"), config.get("activation_function", "relu")
    if strategy not in ("max", "sum") or activation != "relu":
        raise CheckpointError(
            f"{folder.path / path / 'config.json'}: pooling_strategy {strategy!r} with activation_function "
            f"{activation!r} is not supported, only max or sum with relu"
        )
    return SentenceModule("splade", (strategy,))


def _add_tensors(folder: CheckpointFolder, path: str, tensors: dict[str, StoredTensor]) -> None:
    stored = read_tensors(folder, path, model_class="Module")
    tensors |= {f"{path.replace('/', '.')}{name}": tensor for name, tensor in stored.items()}


def _normalize(*_: object) -> SentenceModule:
    return SentenceModule("normalize")


def _nothing(*_: object) -> None:
    """Skip a module that does something in training alone."""


_READERS: Mapping[str, Callable[[CheckpointFolder, str, dict[str, StoredTensor]], SentenceModule | None]] = (
    MappingProxyType(
        {
            "Pooling": _read_pooling,
            "Dense": _read_dense,
            "LayerNorm": _read_layer_norm,
            "Normalize": _normalize,
            "Dropout": _nothing,
            "SpladePooling": _read_splade,
        }
    )
)
"""The reader of each class of module after the transformer; one that has tensors adds them to those given."""


def score_activation(folder: CheckpointFolder, config: Mapping[str, Any]) -> str | None:
    """Return the name of what ``CrossEncoder`` puts on the logits, or None if the checkpoint does not say it.

    It is in config_sentence_transformers.json since version 6, in the model's config.json before that. As in
    sentence-transformers, a class that is not PyTorch's is passed over, with a warning. Raises
    ``CheckpointError`` for one of PyTorch's that is not supported.
    """
    section = config.get("sentence_transformers")
    stated = section if isinstance(section, dict) else {}
    older = stated.get("activation_fn", config.get("sbert_ce_default_activation_function"))
    for path in (folder.read_json_if_there(CONFIG).get("activation_fn"), older):
        if path is None:
            continue
        kind = str(path).rpartition(".")[2]
        if not str(path).startswith("torch."):
            warnings.warn(
                f"{folder.path}: activation_fn {path!r} is not PyTorch's, the default is taken instead: "
                "pass activation_fn to predict and rank",
                stacklevel=3,
            )
        elif kind in _SCORE_ACTIVATIONS:
            return _SCORE_ACTIVATIONS[kind]
        else:
            raise CheckpointError(
                f"{folder.path}: activation_fn {path!r} is not supported, only "
                f"{', '.join(_SCORE_ACTIVATIONS)}"
            )
    return None


def _refuse_default_prompt(folder: CheckpointFolder) -> None:
    """Refuse the default prompt of a cross-encoder, which predictions would leave out in silence."""
    prompt = folder.read_json_if_there(CONFIG).get("default_prompt_name")
    if prompt:
        raise CheckpointError(
            f"{folder.path / CONFIG}: a default prompt ({prompt!r}) of a cross-encoder is not supported. Set "
            "default_prompt_name to null and put the prompt before your texts"
        )


_ASSUMED: Mapping[str, tuple[tuple[SentenceModule, ...], str]] = MappingProxyType(
    {
        "embedding": (MEAN_POOLING, "the mean over all tokens was taken for a sentence's vector"),
        "sparse": ((SentenceModule("splade", ("max",)),), "SPLADE's max of log(1 + relu) was taken"),
        "late_interaction": (
            (SentenceModule("normalize"),),
            "hidden states were taken, divided by their lengths",
        ),
    }
)
"""What sentence-transformers puts on a checkpoint without modules, by head, and a sentence about it."""


EMBEDDING_HEADS = tuple(_ASSUMED)


def assumed_modules(head: str) -> tuple[SentenceModule, ...]:
    """Return the modules of a checkpoint that has none for the head."""
    return _ASSUMED[head][0] if head in _ASSUMED else MEAN_POOLING


def assumptions(head: str, architectures: Any) -> tuple[str, ...]:
    """Return a sentence about them for the certificate, if they make a difference."""
    if head not in _ASSUMED:
        return ()
    saved = ", ".join(map(str, architectures)) if isinstance(architectures, list) else "a model"
    return (f"the checkpoint ({saved}) does not say how to make vectors: {_ASSUMED[head][1]}",)


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
