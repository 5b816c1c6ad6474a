"""The recipe as a whole, as Python, JSON or YAML."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from types import MappingProxyType
from typing import Any

from bertc.errors import RecipeError, warn_caller
from bertc.precision import DTYPES, INT8, LAYER_DTYPES, PRECISIONS, TABLE_DTYPES, integers
from bertc.recipe import documents, loading, other_tools
from bertc.recipe.combinations import impossible
from bertc.recipe.documents import Document
from bertc.recipe.keys import (
    choices_by_pattern,
    flag,
    one_of,
    patterns,
    raise_problems,
    section,
    setting,
    text,
    whole,
)
from bertc.recipe.schema import (
    VERSION,
    ActivationScheme,
    Budget,
    Calibration,
    Parts,
    Section,
    Smoothing,
    WeightScheme,
)
from bertc.task_table import TASKS


@dataclass(frozen=True, kw_only=True)
class Recipe(Section):
    """Says how to compile a model. Sections may be given as mappings.

    Raises ``RecipeError`` that lists every value that is not accepted, and what does not go together.
    """

    version: int = setting(VERSION, whole(1), "The format's version; a recipe from a newer bertc is refused.")
    source: str | None = setting(
        None, text(), "The model: a folder or a hub id. Nothing: what the command line or the call says."
    )
    task: str | None = setting(
        None, one_of(*TASKS), "What the model must be for. Nothing: whatever it is for."
    )
    adapter: str | None = setting(
        None, text(), "The adapter of the checkpoint that is merged. Nothing: the weights without one."
    )
    dtype: str = setting(
        INT8, one_of(*DTYPES), "What layers compute in. The layer that gives the logits stays in fp32."
    )
    embeddings: str | None = setting(
        None,
        one_of(*TABLE_DTYPES),
        "How tables are stored; int8 has a scale per word. Nothing follows dtype: fp32, fp16 for bf16, int8.",
    )
    weights: WeightScheme = section(WeightScheme, "Weights of int8 layers.")
    activations: ActivationScheme = section(ActivationScheme, "Inputs of int8 layers.")
    smoothing: Smoothing = section(Smoothing, "What moves from activations into weights, exactly.")
    bias_correction: bool = setting(
        True, flag(), "Add the mean error of each int8 layer's output to its bias, with opposite sign."
    )
    parts: Parts = section(Parts, "What parts of the model compute in, where not in dtype.")
    exclude: tuple[str, ...] = setting(
        (),
        patterns(),
        "Nodes to keep in fp32, with the wildcards of fnmatch: encoder.layer.0.*, *.intermediate.dense",
    )
    nodes: Mapping[str, str] = setting(
        dict,
        choices_by_pattern(*LAYER_DTYPES),
        "What single nodes compute in, by name or pattern; the last match counts.",
    )
    calibration: Calibration = section(
        Calibration, "The data that ranges, scales and roundings are fitted to."
    )
    budget: Budget | None = section(
        Budget, "How much may be lost before layers fall back. Nothing: any.", optional=True
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set("exclude", tuple(self.exclude))
        self._set("nodes", MappingProxyType(dict(self.nodes)))
        raise_problems(list(impossible(self.fields())))

    @property
    def embedding_dtype(self) -> str:
        """Return how tables are stored: ``fp32``, ``fp16`` or ``int8``."""
        return self.embeddings or PRECISIONS[self.parts.embeddings or self.dtype].table

    @property
    def calibrates(self) -> bool:
        """Return whether 8-bit layers are made by methods that look at their inputs."""
        return (
            self.weights.rounding == "gptq"
            or self.activations.mode != "dynamic"
            or self.smoothing.migration is not None
            or self.smoothing.channel_shift
            or self.smoothing.place_shift
            or self.smoothing.rotation
            or self.bias_correction
        )

    @property
    def layer_dtype(self) -> str:
        """Return what linear layers compute in unless a part says otherwise, one of ``LAYER_DTYPES``."""
        return integers(self.weights.bits).name if PRECISIONS[self.dtype].weight_bits else self.dtype

    def to_json(self) -> str:
        """Return the recipe as indented JSON."""
        return json.dumps(self.to_dict(), indent=2)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Recipe:
        """Return the recipe of plain values; an unknown key is refused, with the nearest known one."""
        return loading.build(cls, Document(data))

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """Return the recipe of a JSON text."""
        return loading.build(cls, documents.parse_json(text))

    @classmethod
    def from_yaml(cls, text: str) -> Recipe:
        """Return the recipe of a YAML text (extra "yaml"). An empty document is the default recipe."""
        return loading.build(cls, documents.parse_yaml(text))

    @classmethod
    def from_kwargs(cls, **names: Any) -> Recipe:
        """Return the recipe that keyword arguments of Mobilint's ``QuantizationConfig`` mean.

        Ranges are static, and nothing makes up for their errors, as there. Warns of arguments that have no
        meaning here; an unknown one is refused, with the nearest known one. Raises ``RecipeError``.
        """
        values, notes = other_tools.from_quantization_config(names)
        if notes:
            warn_caller(f"these have no meaning here: {'; '.join(notes)}")
        return cls.from_dict(values)

    @classmethod
    def load(cls, source: str | PathLike[str] | Mapping[str, Any] | Recipe | None) -> Recipe:
        """Return the recipe of a ``.json``, ``.yaml`` or ``.yml`` file, a preset's name, or a mapping.

        A recipe is returned as it is, None is the default recipe. Raises ``RecipeError``.
        """
        if source is None:
            return cls()
        if isinstance(source, Recipe):
            return source
        if isinstance(source, Mapping):
            return cls.from_dict(source)
        if not isinstance(source, (str, PathLike)):
            raise RecipeError(
                f"the recipe is {type(source).__name__}: expected a file, a mapping or a preset's name"
            )
        document = loading.open_document(source)
        try:
            return loading.build(cls, document)
        except RecipeError as error:
            raise RecipeError(f"{source}: {error}") from None
