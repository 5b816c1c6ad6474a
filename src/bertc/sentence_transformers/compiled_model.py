"""What both classes have in common: the model, its limits and prompts, and what callers ask PyTorch modules.

The classes are no subclasses of the library's, so that they load without PyTorch. Where the library is
loaded, ``isinstance`` takes them for its own all the same: BERTopic, mteb and others ask that at first.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from os import PathLike
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from tokenizers import Tokenizer

from bertc.encoder import Encoder
from bertc.errors import InputError, MissingExtraError
from bertc.model_handle import ModelHandle

Array = np.ndarray[Any, Any]

REFUSED: Mapping[str, str] = MappingProxyType(
    {
        "modules": "compile the model that they make, and give its file",
        "cache_folder": "set BERTC_CACHE, and HF_HOME for the hub's client",
        "trust_remote_code": "bertc runs no code that comes with a checkpoint",
        "revision": "download it, and give its folder",
        "token": "set HF_TOKEN",
        "use_auth_token": "set HF_TOKEN",
        "model_kwargs": "dtype and recipe say how a checkpoint is compiled",
        "processor_kwargs": "max_seq_length is an attribute of the model",
        "tokenizer_kwargs": "max_seq_length is an attribute of the model",
        "config_kwargs": "dtype and recipe say how a checkpoint is compiled",
        "model_card_data": "a compiled file has no model card",
        "backend": "a compiled model runs on bertc's own",
        "num_labels": "a compiled model has the labels of its checkpoint",
        "keep_in_fp32_modules": "dtype and recipe say how a checkpoint is compiled",
    }
)
"""The arguments of the library's constructors that cannot be followed -> what to do."""
_SPECIAL_TOKENS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "pad_token": ("[PAD]", "<pad>"),
        "cls_token": ("[CLS]", "<s>"),
        "sep_token": ("[SEP]", "</s>"),
        "mask_token": ("[MASK]", "<mask>"),
        "unk_token": ("[UNK]", "<unk>"),
    }
)
"""What the tokens with a meaning are called in the vocabularies of BERT's families."""


@dataclasses.dataclass(frozen=True)
class ModelCardData:
    """What evaluators and mteb ask of a model card."""

    model_name: str
    base_model_revision: str | None
    base_model: str | None = None

    def set_evaluation_metrics(self, *_: Any) -> None:
        """Do nothing: a compiled file has no card to write scores to."""


class CompiledModel:
    """A compiled model behind the interface of ``BaseModel`` of sentence-transformers."""

    _task: ClassVar[str]

    def __init__(
        self,
        model_name_or_path: str | PathLike[str] | Encoder | None = None,
        *,
        device: Any = None,
        prompts: Mapping[str, str] | None = None,
        default_prompt_name: str | None = None,
        local_files_only: bool = False,
        num_threads: int | None = None,
        dtype: str | None = None,
        recipe: Any = None,
        **others: Any,
    ) -> None:
        """Take a compiled file, or what :func:`bertc.load` compiles at first: a folder or a hub id.

        ``num_threads``, ``dtype`` and ``recipe`` are those of ``bertc.load``; what the library's constructor
        takes besides and a compiled model cannot follow is refused. Raises ``InputError``, and what
        ``bertc.load`` does.
        """
        if model_name_or_path is None:
            raise InputError("model_name_or_path is None: expected a compiled file, a folder or a hub id")
        check_device(device)
        _refuse(type(self).__name__, others)
        self._handle = ModelHandle(
            model_name_or_path,
            self._task,
            num_threads=num_threads,
            dtype=dtype,
            recipe=recipe,
            offline=local_files_only or None,
        )
        self._limit: int | None = None
        embedding = self._model.info.embedding
        self.prompts: dict[str, str] = {**embedding.all_prompts, **(prompts or {})}
        """What is put before texts, by ``prompt_name``."""
        self.default_prompt_name = default_prompt_name or embedding.default_prompt_name
        if self.default_prompt_name is not None:
            self._prompt(None, self.default_prompt_name)

    @cached_property
    def _model(self) -> Any:
        """The model of bertc: an ``Embedder`` or a ``Classifier``."""
        model = self._handle.model
        if self._limit is None:
            return model
        info = dataclasses.replace(model.info, max_seq_length=self._limit)
        tokenizer = model.tokenizer.with_limit(self._limit)
        return type(model)(model.session, tokenizer, info, artifact=model.artifact)

    @property
    def max_seq_length(self) -> int:
        """The tokens that a text is cut to, special tokens included; up to the model's positions."""
        limit: int = self._model.info.max_seq_length
        return limit

    @max_seq_length.setter
    def max_seq_length(self, value: int) -> None:
        info = self._handle.model.info
        longest = info.longest_sequence if "max_position_embeddings" in info.facts else info.max_seq_length
        if not isinstance(value, int) or not 1 <= value <= longest:
            raise InputError(f"max_seq_length is {value!r}: {info.name} takes 1 to {longest} tokens")
        self._limit = value
        vars(self).pop("_model", None)

    def get_max_seq_length(self) -> int:
        """Return :attr:`max_seq_length`."""
        return self.max_seq_length

    @property
    def tokenizer(self) -> Any:
        """A tokenizer of ``transformers`` with the model's vocabulary. Raises ``MissingExtraError``."""
        try:
            from transformers import PreTrainedTokenizerFast
        except ImportError:
            raise MissingExtraError("transformers", "train", "model.tokenizer") from None
        native = Tokenizer.from_str(self._model.artifact.tokenizer_json)
        native.no_padding()
        native.no_truncation()
        named = {
            role: next((token for token in tokens if native.token_to_id(token) is not None), None)
            for role, tokens in _SPECIAL_TOKENS.items()
        }
        return PreTrainedTokenizerFast(
            tokenizer_object=native,
            model_max_length=self.max_seq_length,
            **{role: token for role, token in named.items() if token is not None},
        )

    @property
    def device(self) -> Any:
        """Where the model runs: ``torch.device("cpu")``. Raises ``MissingExtraError`` without PyTorch."""
        return torch_for("model.device").device("cpu")

    def to(self, device: Any = None) -> Any:
        """Return the model itself. Raises ``InputError`` for any place but the processor, and for a dtype."""
        check_device(device)
        return self

    def cpu(self) -> Any:
        """Return the model itself, which is on the processor."""
        return self

    def eval(self) -> Any:
        """Return the model itself, which cannot be trained."""
        return self

    def named_modules(self) -> Iterator[tuple[str, Any]]:
        """Return an iterator over nothing: a compiled model has no modules of PyTorch."""
        return iter(())

    def start_multi_process_pool(self, target_devices: Iterable[Any] | None = None) -> dict[str, Any]:
        """Return a pool without processes: one call of a compiled model uses all cores."""
        check_device(None if target_devices is None else list(target_devices))
        return {"input": None, "output": None, "processes": []}

    @staticmethod
    def stop_multi_process_pool(pool: dict[str, Any]) -> None:
        """Do nothing: such a pool has no processes."""

    def get_backend(self) -> str:
        """Return ``"bertc"``."""
        return "bertc"

    def get_model_kwargs(self) -> list[str]:
        """Return the additional options of a call: none."""
        return []

    def evaluate(self, evaluator: Any, output_path: str | None = None) -> Any:
        """Return what an evaluator of sentence-transformers says of the model."""
        return evaluator(self, output_path)

    @property
    def model_card_data(self) -> ModelCardData:
        """The name of the model, ``bertc/...``, and the hash of its weights as its revision."""
        return ModelCardData(f"bertc/{self._model.info.name}", self._model.artifact.weights_sha256)

    def _prompt(self, prompt: str | None, prompt_name: str | None) -> str:
        """Return the prompt of a call: its own, else the one it names, else the default one."""
        if prompt is not None:
            return prompt
        name = prompt_name if prompt_name is not None else self.default_prompt_name
        if name is None:
            return ""
        if name not in self.prompts:
            raise InputError(f"prompt_name is {name!r}: expected one of {', '.join(map(repr, self.prompts))}")
        return self.prompts[name]

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        """The class of the library where that is loaded: what ``isinstance`` asks besides ``type``."""
        return getattr(sys.modules.get("sentence_transformers"), type(self).__name__, type(self))

    def __reduce__(self) -> tuple[Any, ...]:
        state = {name: value for name, value in vars(self).items() if name != "_model"}
        return _restored, (type(self), state)

    def __getattr__(self, name: str) -> Any:
        kind = type(self).__name__
        raise AttributeError(
            f"{kind!r} of a compiled model has no {name!r}: see docs/integrations.md", name=name
        )

    def __repr__(self) -> str:
        return f"<bertc.sentence_transformers.{type(self).__name__} of {self._model!r}>"


def torch_for(purpose: str) -> Any:
    """Return PyTorch. Raises ``MissingExtraError`` that says what for."""
    try:
        import torch
    except ImportError:
        raise MissingExtraError("torch", "torch", purpose) from None
    return torch


def tensor(values: Any, purpose: str) -> Any:
    """Return an array, or a number, as a tensor. Raises ``MissingExtraError``."""
    return torch_for(purpose).from_numpy(np.ascontiguousarray(values).reshape(np.shape(values)))


def check_device(device: Any) -> None:
    """Raise ``InputError`` unless a device, or each of several, is the processor or None."""
    for each in device if isinstance(device, (list, tuple)) else [device]:
        if each is not None and str(each).partition(":")[0] != "cpu":
            raise InputError(f"device is {str(each)!r}: a compiled model runs on the processor, 'cpu'")


def refuse_options(method: str, options: Mapping[str, Any]) -> None:
    """Raise ``InputError`` for options of a call that sentence-transformers would hand to modules."""
    if unknown := set(options) - {"task"}:
        raise InputError(f"{method} of a compiled model has no option {', '.join(sorted(unknown))}")


def _refuse(kind: str, options: Mapping[str, Any]) -> None:
    for name, value in options.items():
        if name not in REFUSED:
            raise TypeError(f"{kind} got an unexpected keyword argument {name!r}")
        if value:
            raise InputError(f"{name} has no meaning for a compiled model: {REFUSED[name]}")


def _restored(kind: type[CompiledModel], state: Mapping[str, Any]) -> CompiledModel:
    model = kind.__new__(kind)
    vars(model).update(state)
    return model
