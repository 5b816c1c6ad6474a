"""The model that a run starts from: a base checkpoint, whose head is kept where it is of the kind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from bertc.errors import CheckpointError, InputError
from bertc.training.objective import Objective
from bertc.training.settings import Settings

_UNLIMITED = 10**6
"""What tokenizers of ``transformers`` call their limit where they know none is larger."""
_POOLER = "pooler."
"""What the names of tensors begin with that a base may lack: a new head is trained with them."""


class Base(NamedTuple):
    """What is known of a base before its weights are read."""

    config: Any
    tokenizer: Any
    labels: tuple[str, ...] | None
    """Those of its head, if that is to be trained further."""
    longest: int
    """The tokens of the longest sequence that it takes."""


def read_base(settings: Settings, objective: Objective) -> Base:
    """Return the config and tokenizer of the base. Raises ``CheckpointError`` for what is none."""
    import transformers

    with _reading(settings.base):
        config = transformers.AutoConfig.from_pretrained(settings.base)
        tokenizer = load_tokenizer(settings)
    if not tokenizer.is_fast:
        raise CheckpointError(
            f"{settings.base}: its tokenizer is {type(tokenizer).__name__}, and one with a tokenizer.json is "
            "needed: convert it"
        )
    labels = tuple(config.id2label[number] for number in sorted(config.id2label))
    name = (config.architectures or [""])[0]
    has_head = bool(objective.suffix) and name.endswith(objective.suffix) and objective.keeps(labels)
    positions = getattr(config, "max_position_embeddings", None) or _UNLIMITED
    if (limit := tokenizer.model_max_length) >= _UNLIMITED:
        limit = positions - 2  # where numbers of positions begin behind that of padding, as RoBERTa's do
    longest = min(limit, positions)
    return Base(config, tokenizer, labels if has_head and not settings.new_head else None, longest)


def load_tokenizer(settings: Settings) -> Any:
    """Return the base's tokenizer as it is, not yet told any length.

    Where words come one by one, a tokenizer of bytes puts a space before each.
    """
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(settings.base)
    if settings.kind == "ner" and getattr(tokenizer, "add_prefix_space", None) is False:
        return transformers.AutoTokenizer.from_pretrained(settings.base, add_prefix_space=True)
    return tokenizer


def sequence_length(settings: Settings, objective: Objective, base: Base) -> int:
    """Return the tokens of the longest sequence. Raises ``InputError`` for more than the base takes."""
    if settings.max_length is not None and settings.max_length > base.longest:
        raise InputError(
            f"max_length is {settings.max_length}, but {settings.base} takes at most {base.longest} tokens"
        )
    return settings.max_length or min(objective.max_length, base.longest)


def make_model(settings: Settings, objective: Objective, base: Base) -> Any:
    """Return the model in fp32; the seed decides a new head. Raises ``CheckpointError`` for lost weights."""
    import torch
    import transformers

    torch.manual_seed(settings.seed)
    auto = getattr(transformers, objective.auto_class)
    with _reading(settings.base):
        if base.labels is not None or not objective.suffix:
            return _complete(settings.base, *_pretrained(auto, settings.base)).float()
        encoder, missing = _pretrained(transformers.AutoModel, settings.base)
        for name, value in objective.config().items():
            setattr(base.config, name, value)
        model = auto.from_config(base.config).float()
    inner = getattr(model, model.base_model_prefix)
    found = encoder.float().state_dict()
    lost = inner.load_state_dict(found, strict=False).missing_keys
    return _complete(settings.base, model, {*missing, *lost})


def write_checkpoint(folder: Path, model: Any, settings: Settings, objective: Objective, length: int) -> None:
    """Write a checkpoint that ``transformers`` opens; of an embedder, one of sentence-transformers."""
    model.save_pretrained(folder)
    load_tokenizer(settings).save_pretrained(folder)
    objective.finish_folder(folder, length, model.config.hidden_size)


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep ``transformers`` from telling what is of no use here, such as that a head is new."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _pretrained(auto: Any, base: str) -> tuple[Any, set[str]]:
    model, info = auto.from_pretrained(base, output_loading_info=True)
    return model, set(info["missing_keys"])


def _complete(base: str, model: Any, missing: set[str]) -> Any:
    lost = sorted(name for name in missing if _POOLER not in name)
    if lost:
        raise CheckpointError(
            f"{base} lacks {len(lost)} tensors of the model, such as {lost[0]}: is it a whole checkpoint?"
        )
    return model


@contextmanager
def _reading(base: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().split("\n")[0]
        where = "" if Path(base).exists() else f"{base} is no folder here; "
        raise CheckpointError(f"cannot read the base: {where}{reason}") from None
