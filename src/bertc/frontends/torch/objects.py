"""What a module is: a model of transformers, one of sentence-transformers, or a user's own."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bertc.frontends.roles import ROLES
from bertc.frontends.sentence_transformers import CONFIG

_TYPES = "token_type_ids"
_TRACED = ("input_ids", "attention_mask", _TYPES)
"""The roles of inputs that a module is given unless a caller says otherwise."""


@dataclass(frozen=True, eq=False)
class Described:
    """A module and how to call it."""

    name: str
    module: Any
    call: Callable[[Mapping[str, Any]], Any]
    """Runs it on tensors [batch, length] by the names of ``inputs``."""
    inputs: Mapping[str, str]
    """The names of its inputs -> their roles, as far as names tell."""
    unknown: tuple[str, ...] = ()
    """The names of inputs that it needs and whose roles the names do not tell."""
    places: tuple[str, ...] = ()
    """The names of all that it can be given, in order."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """What config.json would say; empty if nothing does."""
    save: Callable[[Path], None] | None = None
    """Writes the tokenizer that comes with the module, and how texts are put to it, into a folder."""


def describe(module: Any) -> Described:
    """Return what a module is by its class, else by what its ``forward`` takes."""
    if _is_a(module, "sentence_transformers", "CrossEncoder"):
        module = module.model
    if _is_a(module, "sentence_transformers", "SentenceTransformer"):
        return _sentence_model(module)
    if _is_a(module, "transformers", "PreTrainedModel"):
        return _transformers_model(module)
    return _by_signature(module, lambda inputs: module(**inputs))


def _is_a(module: Any, package: str, name: str) -> bool:
    kind = getattr(sys.modules.get(package), name, None)
    return isinstance(kind, type) and isinstance(module, kind)


def _sentence_model(module: Any) -> Described:
    inner = next(each for each in module.modules() if _is_a(each, "transformers", "PreTrainedModel"))
    described = _transformers_model(inner)
    name = module.model_card_data.model_name or described.name
    return Described(
        str(name).rpartition("/")[2],
        module,
        lambda inputs: module(dict(inputs)),
        described.inputs,
        config=described.config,
        save=lambda folder: _save_beside(module, folder),
    )


def _save_beside(module: Any, folder: Path) -> None:
    """Write what a model of sentence-transformers knows beside its modules, as its own folders have it."""
    module.tokenizer.save_pretrained(str(folder))
    facts = {key: getattr(module, key) for key in ("prompts", "default_prompt_name", "similarity_fn_name")}
    (folder / CONFIG).write_text(json.dumps(facts), "utf-8")
    limit = {"max_seq_length": module.max_seq_length}
    (folder / "sentence_bert_config.json").write_text(json.dumps(limit), "utf-8")


def _transformers_model(module: Any) -> Described:
    config = json.loads(module.config.to_json_string(use_diff=False))
    kind = type(module).__name__
    config["architectures"] = [kind]
    chooses = kind.endswith("ForMultipleChoice")

    def run(inputs: Mapping[str, Any]) -> Any:
        """Call the module; one that chooses gets one choice of each, whose rows are those of the batch."""
        return module(**({key: each.unsqueeze(1) for key, each in inputs.items()} if chooses else inputs))

    described = _by_signature(module, run)
    inputs = dict(described.inputs)
    if config.get("type_vocab_size", 2) < 2:  # whose tokenizers give none
        inputs = {key: role for key, role in inputs.items() if role != _TYPES}
    name = str(config.get("_name_or_path") or kind).rstrip("/").rpartition("/")[2]
    return Described(name, module, run, inputs, described.unknown, described.places, config)


def _by_signature(module: Any, run: Callable[[Mapping[str, Any]], Any]) -> Described:
    inputs: dict[str, str] = {}
    unknown, places = [], []
    for name, each in inspect.signature(module.forward).parameters.items():
        if each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD):
            continue
        places.append(name)
        role = next((role for role in _TRACED if name.lower() in ROLES[role]), None)
        if role is not None and role not in inputs.values():
            inputs[name] = role
        elif each.default is each.empty:
            unknown.append(name)
    return Described(type(module).__name__, module, run, inputs, tuple(unknown), tuple(places))
