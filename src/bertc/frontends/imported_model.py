"""The imported model, which every front end returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bertc.artifact.schema import ModelInfo
from bertc.ir.graph import Graph


@dataclass(frozen=True, eq=False)
class ImportedModel:
    """A model as a front end read it, before any pass."""

    graph: Graph
    """The graph of the whole model, in stage "imported"."""
    info: ModelInfo
    tokenizer_json: str
    """The tokenizer's minified JSON, without padding and truncation: packing and sessions do their work."""
    source: Mapping[str, Any]
    """The provenance: ``name``, ``files`` (relative path -> SHA-256), and ``revision`` if known."""
    notes: tuple[str, ...] = ()
    """What was assumed, or left out, for the certificate."""
