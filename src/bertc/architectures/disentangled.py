"""Disentangled attention (He et al. 2020, arXiv:2006.03654): rows that queries and keys meet by distance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bertc.architectures.model_builder import ModelBuilder
from bertc.ir import reference
from bertc.ir.graph import DType

Array = np.ndarray[Any, Any]


def by_distance(span: int, farthest: int = 0) -> tuple[Array, Array]:
    """Return the embeddings of distances that distances name, and which of these each distance names.

    There are ``span`` embeddings for keys before their query, and as many for others. With ``farthest`` the
    near half of them are of one distance each, and the others grow in steps of one ratio up to that distance
    (``make_log_bucket_position`` of ``transformers``). Returns int [rows], and int32 [1, 2 * reach + 1] that
    rises from 0 to the last of them.
    """
    reach = farthest or span
    before = np.arange(reach, -reach - 1, -1)  # by how many tokens a key is before its query
    if farthest:
        near = span // 2
        ratio = np.log(np.maximum(np.abs(before), near) / near) / np.log([(farthest - 1) / near])
        far = near + np.ceil(ratio * (near - 1)).astype(np.int64)
        before = np.where(np.abs(before) <= near, before, np.sign(before) * far)
    rows = np.clip(before + span, 0, 2 * span - 1)
    changes = rows[1:] != rows[:-1]
    buckets = np.concatenate([[0], np.cumsum(changes)]).astype(np.int32)
    return rows[np.concatenate([[True], changes])], buckets[None]


@dataclass(frozen=True)
class Projection:
    """What makes a table of the embeddings of distances."""

    module: str
    """A module of attention, behind its name."""
    bias: bool = True
    """Whether it has one."""


@dataclass(frozen=True)
class Distances:
    """The operands of attention that disentangle its scores."""

    builder: ModelBuilder
    width: int
    span: int
    """The embeddings of distances on either side."""
    farthest: int
    """The distance from which on all are alike, where embeddings stand for several; else 0."""
    projections: Mapping[str, Projection]
    """By the operand that they make."""
    norm_epsilon: float | None = None
    """That of a layer norm of the embeddings, if there is one."""
    _shared: dict[str, str] = field(default_factory=dict)

    def of_layer(self, attention: str) -> dict[str, str]:
        """The operands of an attention by its name: what all share, and constants made by its modules."""
        rows, buckets = by_distance(self.span, self.farthest)
        if not self._shared:
            constant = self.builder.constant("encoder.buckets", buckets, DType.I32)
            self._shared.update(buckets=constant, places=self.builder.token_input("places"))
        made = {
            operand: self._table(attention, operand, projection, rows)
            for operand, projection in self.projections.items()
        }
        return {**self._shared, **made}

    def _table(self, attention: str, operand: str, projection: Projection, rows: Array) -> str:
        module = f"{attention}.{projection.module}"
        tensors: dict[str, tuple[int, ...]] = {
            "encoder.rel_embeddings.weight": (2 * self.span, self.width),
            f"{module}.weight": (self.width, self.width),
        }
        if projection.bias:
            tensors[f"{module}.bias"] = (self.width,)
        if self.norm_epsilon is not None:
            tensors |= {f"encoder.LayerNorm.{part}": (self.width,) for part in ("weight", "bias")}

        def derive(embeddings: Array, weight: Array, *others: Array) -> Array:
            bias, norm = (others[0], others[1:]) if projection.bias else (np.float32(0), others)
            x = embeddings[rows]
            if self.norm_epsilon is not None:
                x = reference.layer_norm(x, *norm, epsilon=self.norm_epsilon)
            return np.asarray(x @ weight.T + bias)

        return self.builder.derived(f"{attention}.{operand}", (len(rows), self.width), tensors, derive)
