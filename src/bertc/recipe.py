"""The recipe: what a compilation is asked to do, validated, as Python, JSON or YAML."""

from __future__ import annotations

import dataclasses
import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertc.errors import MissingExtraError, RecipeError

VERSION = 1
DTYPES = ("fp32", "bf16", "int8")
EMBEDDING_DTYPES = ("fp32", "fp16", "int8")
_FOLLOWED = {"fp32": "fp32", "bf16": "fp16", "int8": "int8"}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to compile a model. Raises ``RecipeError`` that lists every problem of its fields."""

    version: int = VERSION
    """Of this format; a recipe from a newer bertc is refused."""
    dtype: str = "int8"
    """What linear layers compute in: ``fp32``, ``bf16`` or ``int8``. Classifiers stay in fp32."""
    embeddings: str | None = None
    """How embedding tables are stored: ``fp32``, ``fp16`` or ``int8`` (word rows with a scale each,
    the small tables in fp16). None follows ``dtype``: fp32, fp16 for bf16, int8."""
    weight_bits: int = 8
    """Of int8 layers: 8, or 7 (-63..63), which AVX2 without VNNI multiplies faster: ``profiles.py``."""
    exclude: tuple[str, ...] = ()
    """Names of nodes to keep in fp32, with the wildcards of ``fnmatch``: ``encoder.layer.0.*``. Query, key
    and value are one layer after fusion: excluding one excludes all three."""

    def __post_init__(self) -> None:
        _raise(_problems({f.name: getattr(self, f.name) for f in dataclasses.fields(self)}))
        object.__setattr__(self, "exclude", tuple(self.exclude))

    @property
    def embedding_dtype(self) -> str:
        """``embeddings``, or what follows from ``dtype``."""
        return self.embeddings or _FOLLOWED[self.dtype]

    @property
    def layer_dtype(self) -> str:
        """What linear layers compute in: ``dtype``, or ``int7`` for int8 with weights of 7 bits."""
        return "int7" if self.dtype == "int8" and self.weight_bits == 7 else self.dtype

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON and YAML have them."""
        return {**dataclasses.asdict(self), "exclude": list(self.exclude)}

    def to_json(self) -> str:
        """Indented JSON."""
        return json.dumps(self.to_dict(), indent=2)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Recipe:
        """From plain values; an unknown key is refused, with the nearest known one."""
        if not isinstance(data, Mapping):
            raise RecipeError(f"a recipe must be a mapping of keys to values, found {type(data).__name__}")
        known = [f.name for f in dataclasses.fields(cls)]
        unknown = [_unknown(str(key), known) for key in data if key not in known]
        _raise([*unknown, *_problems({key: value for key, value in data.items() if key in known})])
        return cls(**data)

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """From JSON text."""
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise RecipeError(f"the recipe is not valid JSON: {error}") from None
        return cls.from_dict(data)

    @classmethod
    def from_yaml(cls, text: str) -> Recipe:
        """From YAML text (extra "yaml"). An empty document is the default recipe."""
        data = _parse_yaml(text)
        return cls.from_dict({} if data is None else data)

    @classmethod
    def load(cls, source: str | Path | Mapping[str, Any] | Recipe | None) -> Recipe:
        """From a ``.json``, ``.yaml`` or ``.yml`` file, a mapping, a recipe, or None for the default."""
        if source is None:
            return cls()
        if isinstance(source, Recipe):
            return source
        if isinstance(source, Mapping):
            return cls.from_dict(source)
        path = Path(source).expanduser()
        readers = {".json": cls.from_json, ".yaml": cls.from_yaml, ".yml": cls.from_yaml}
        if path.suffix not in readers:
            raise RecipeError(f"{path}: a recipe file ends in {', '.join(readers)}")
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"the recipe {path} cannot be read: {error}") from None
        try:
            return readers[path.suffix](text)
        except RecipeError as error:
            raise RecipeError(f"{path}: {error}") from None


def _parse_yaml(text: str) -> Any:
    try:
        import yaml
    except ImportError:
        raise MissingExtraError("pyyaml", "yaml", "reading a YAML recipe") from None
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"the recipe is not valid YAML: {error}") from None


def _problems(values: Mapping[str, Any]) -> list[str]:
    problems = []
    version = values.get("version", VERSION)
    if type(version) is not int or version < 1:
        problems.append(f"version is {version!r}, expected {VERSION}")
    elif version > VERSION:
        problems.append(f"version {version} is newer than this bertc reads ({VERSION}): upgrade bertc")
    if values.get("dtype", "int8") not in DTYPES:
        problems.append(f"dtype is {values['dtype']!r}, expected one of {', '.join(DTYPES)}")
    if values.get("embeddings") not in (None, *EMBEDDING_DTYPES):
        expected = ", ".join(EMBEDDING_DTYPES)
        problems.append(f"embeddings is {values['embeddings']!r}, expected one of {expected}, or nothing")
    weight_bits = values.get("weight_bits", 8)
    if type(weight_bits) is not int or weight_bits not in (7, 8):
        problems.append(f"weight_bits is {weight_bits!r}, expected 8 or 7")
    exclude = values.get("exclude", ())
    if not isinstance(exclude, (list, tuple)) or not all(isinstance(p, str) and p for p in exclude):
        problems.append(f"exclude is {exclude!r}, expected a list of node-name patterns")
    return problems


def _unknown(key: str, known: list[str]) -> str:
    nearest = difflib.get_close_matches(key, known, n=1, cutoff=0.0)[0]
    return f"unknown key {key!r}, did you mean {nearest!r}?"


def _raise(problems: list[str]) -> None:
    if problems:
        raise RecipeError(f"invalid recipe: {'; '.join(problems)}")
