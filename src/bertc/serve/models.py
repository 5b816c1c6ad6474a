"""The models of a server: loaded, found by name or by what a route needs, replaced along with their files."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from bertc.encoder import Encoder
from bertc.loading import load
from bertc.ports import SEQUENCES
from bertc.runtime.batching import FloatArray
from bertc.runtime.tokenization import Tokenizer
from bertc.runtime.unit_rows import squares_of
from bertc.serve.errors import RequestError
from bertc.serve.settings import ModelSource

AnyEncoder = TypeVar("AnyEncoder", bound=Encoder)


@dataclass(frozen=True)
class Model:
    """A loaded model and its name in requests."""

    name: str
    source: ModelSource
    encoder: Encoder
    file: tuple[int, int, int]
    """What tells the file from one that takes its place: inode, size, time of its last change."""
    loaded_at: float = field(default_factory=time.time)
    tasks: dict[Any, Any] = field(default_factory=dict)
    """Tasks that routes keep for the next request with the same options."""

    @property
    def limit(self) -> int:
        """The most tokens of a text, special ones included."""
        info = self.encoder.info
        return info.embedding.max_lengths.get("", info.max_seq_length)

    @cached_property
    def outputs_of_texts(self) -> frozenset[str]:
        """Those with a row for each text, which a queue gives: none where steps run on the host."""
        if self.encoder.session.has_host_steps:
            return frozenset()
        return frozenset(port.name for port in self.encoder.info.outputs if port.rows == SEQUENCES)

    def tokenizer(self, direction: str | None = None) -> Tokenizer:
        """Return the tokenizer that cuts at the limit, from the side that ``Left`` or ``Right`` names."""
        usual = self.encoder.tokenizer
        if self.limit != self.encoder.info.max_seq_length:
            usual = usual.with_limit(self.limit)
        if direction is None or direction.capitalize() == usual.direction:
            return usual
        return usual.with_limit(self.limit, direction.capitalize())

    def with_prompt(self, texts: Iterable[str], prompt_name: str | None) -> tuple[list[str], str]:
        """Return texts with the model's prompt of that name, or its default one, before each; and the prompt.

        Raises ``RequestError`` for a name that the model does not have.
        """
        facts = self.encoder.info.embedding
        name = prompt_name or facts.default_prompt_name
        if name is None:
            return texts if isinstance(texts, list) else list(texts), ""
        prompts = facts.all_prompts
        if name not in prompts:
            raise RequestError(
                "Unprocessable",
                f"prompt_name is none of those of {self.name}: {', '.join(facts.prompts) or 'it has none'}",
            )
        prompt = prompts[name]
        return [prompt + text for text in texts], prompt

    def check_numbers(self, values: FloatArray, *, nonzero: bool) -> None:
        """Look at an output [rows, columns]: no NaN or infinity, and if ``nonzero``, no row of zeros.

        Raises ``RequestError``.
        """
        least, total = squares_of(values)
        if not math.isfinite(total):
            raise RequestError("Backend", f"{self.name} gave a number that is none (NaN or infinity)")
        if nonzero and not least:
            raise RequestError("Backend", f"{self.name} gave a vector of zeros")


def load_model(source: ModelSource, num_threads: int | None) -> Model:
    """Load a model: a file is mapped, a checkpoint compiled into the cache. Raises as ``load`` does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of steps on the host: /info says so
        encoder = load(source.source, num_threads=num_threads)
    return Model(source.name, source, encoder, _facts_of(encoder.artifact.path))


class Registry:
    """The models that are loaded, in the order in which they were named."""

    def __init__(self) -> None:
        self._models: dict[str, Model] = {}

    @property
    def models(self) -> Sequence[Model]:
        """All of them."""
        return tuple(self._models.values())

    def put(self, model: Model) -> None:
        """Add a model, or replace the one of its name: requests in work keep the one that they have."""
        self._models[model.name] = model

    def find(
        self, name: str | None, kinds: tuple[type[AnyEncoder], ...], does: str, fits: Callable[[Model], bool]
    ) -> Model:
        """Return the model of that name, or the first that can do what a route needs.

        ``does`` says what that is. A name that no model has counts only where several could be meant, as
        many clients must name some model or other. Raises ``RequestError``.
        """
        named = None if name is None else self._models.get(name)
        if named is not None and isinstance(named.encoder, kinds) and fits(named):
            return named
        able = []
        for model in self._models.values():
            if isinstance(model.encoder, kinds) and fits(model):
                if name is None:
                    return model
                able.append(model)
        if named is not None:
            others = f"these can: {_listed(able)}" if able else "no loaded model can"
            raise RequestError("Backend", f"{named.name} is no model that {does}; {others}")
        if not able:
            raise RequestError("Backend", f"no model is loaded that {does}; loaded: {_listed(self.models)}")
        if name is not None and len(able) > 1:
            raise RequestError("NotFound", f"no model has that name; those that can: {_listed(able)}")
        return able[0]


def was_replaced(model: Model) -> bool:
    """Tell whether another file has taken the place of the one that a model was loaded from."""
    try:
        return _facts_of(model.encoder.artifact.path) != model.file
    except OSError:
        return True  # loading says what is wrong


def _facts_of(path: Path) -> tuple[int, int, int]:
    facts = path.stat()
    return facts.st_ino, facts.st_size, facts.st_mtime_ns


def _listed(models: Iterable[Model]) -> str:
    return ", ".join(f"{model.name} ({model.encoder.info.task})" for model in models) or "none"
