"""``EmbeddingTables``: what makes embeddings of ids, for models that were compiled from there on.

The file is plain safetensors, float32, named as in the checkpoint; its metadata says which table is which.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from bertc.atomic_file import replace_atomically
from bertc.errors import ArtifactError, InputError
from bertc.ir import reference

Array = np.ndarray[Any, Any]

_NORM = ("gamma", "beta")
_METADATA = "bertc.embeddings"


@dataclass(frozen=True, eq=False)
class EmbeddingTables:
    """The tables of a model's embeddings, and the layer norm behind them if the model has one there."""

    tensors: Mapping[str, Array]
    """The tables [rows, width] and the norm's vectors [width], float32, by their names in the checkpoint."""
    roles: Mapping[str, str]
    """What each tensor is -> its name: ``word``, ``token_type``, ``position``, ``task_type``, and of the
    norm ``gamma`` and ``beta``."""
    first_position: int = 0
    """The row of the position table that a sequence's first token takes."""
    epsilon: float = 1e-12
    """The layer norm's epsilon."""

    @classmethod
    def load(cls, path: str | PathLike[str]) -> EmbeddingTables:
        """Read the file that ``compile(..., inputs="embeddings")`` wrote. Raises ``ArtifactError``."""
        try:
            with safe_open(Path(path), "numpy") as file:
                facts = json.loads((file.metadata() or {})[_METADATA])
                tensors = {name: file.get_tensor(name) for name in facts["roles"].values()}
            return cls(tensors, facts["roles"], int(facts["first_position"]), float(facts["epsilon"]))
        except OSError as error:
            raise ArtifactError(f"cannot open {path}: {error.strerror or error}") from None
        except (SafetensorError, KeyError, TypeError, ValueError, AttributeError):
            raise ArtifactError(
                f'{path} holds no embedding tables: expected the .safetensors of compile(inputs="embeddings")'
            ) from None

    def save(self, path: Path) -> None:
        """Write the file, complete or not at all. Raises ``ArtifactError`` if the disk refuses."""
        facts = {"roles": {**self.roles}, "first_position": self.first_position, "epsilon": self.epsilon}
        data = save({**self.tensors}, {"format": "np", _METADATA: json.dumps(facts)})
        try:
            with replace_atomically(path) as file:
                file.write(data)
        except OSError as error:
            raise ArtifactError(f"cannot write {path}: {error.strerror or error}") from None

    def __call__(
        self,
        input_ids: ArrayLike,
        cu_seqlens: ArrayLike | None = None,
        token_type_ids: ArrayLike | None = None,
        position_ids: ArrayLike | None = None,
        *,
        task_type_ids: ArrayLike | None = None,
    ) -> Array:
        """Return the embeddings of ids, float32 [..., width]: the sum of a row of each table, then the norm.

        ``input_ids`` are [tokens] with ``cu_seqlens`` [sequences + 1], or padded [batch, length] without;
        other ids have the same shape, and are 0 if absent. Positions count from the first token of each
        sequence unless ``position_ids`` are the rows to take. Raises ``InputError`` for ids without a row.
        """
        given = {
            "word": input_ids,
            "token_type": token_type_ids,
            "position": position_ids,
            "task_type": task_type_ids,
        }
        ids = {name: np.asarray(each) for name, each in given.items() if each is not None}
        shape = ids["word"].shape
        for name, each in ids.items():
            self._check(name, each, shape)
        flat = {reference.TABLES[name]: each.reshape(-1) for name, each in ids.items() if name in self.roles}
        tables = {name: self.tensors[self.roles[name]] for name in reference.TABLES if name in self.roles}
        bounds = _bounds(shape, cu_seqlens)
        if "position" in tables and position_ids is None:
            self._check_lengths(bounds, len(tables["position"]) - self.first_position)
        rows = reference.embed(bounds, first_position=self.first_position, **tables, **flat)
        if "gamma" in self.roles:
            gamma, beta = (self.tensors[self.roles[name]] for name in _NORM)
            rows = reference.layer_norm(rows, gamma, beta, epsilon=self.epsilon)
        return rows.reshape(*shape, -1)

    def _check(self, name: str, ids: Array, shape: tuple[int, ...]) -> None:
        called = reference.TABLES[name]
        if ids.dtype.kind not in "iu" or ids.shape != shape:
            raise InputError(f"{called} are {ids.dtype} {ids.shape}, expected integers {shape}")
        rows = len(self.tensors[self.roles[name]]) if name in self.roles else None
        if rows is not None and ids.size and not 0 <= ids.min() <= ids.max() < rows:
            raise InputError(f"{called} go from {ids.min()} to {ids.max()}, the table has {rows} rows")

    @staticmethod
    def _check_lengths(bounds: Array, positions: int) -> None:
        longest = int(np.diff(bounds).max(initial=0))
        if longest > positions:
            raise InputError(f"a sequence has {longest} tokens, the model has positions for {positions}")


def _bounds(shape: tuple[int, ...], cu_seqlens: ArrayLike | None) -> Array:
    """Return where sequences start. Raises ``InputError`` if that is not said, or does not fit."""
    if cu_seqlens is None and len(shape) == 2:
        return np.arange(shape[0] + 1) * shape[1]
    bounds = np.asarray(cu_seqlens if cu_seqlens is not None else [])
    fits = bounds.ndim == 1 and bounds.dtype.kind in "iu" and bounds.size and (np.diff(bounds) > 0).all()
    if len(shape) != 1 or not fits or bounds[0] != 0 or bounds[-1] != shape[0]:
        raise InputError(
            f"input_ids have shape {shape}: expected [batch, length], or [tokens] with cu_seqlens, which "
            "rise from 0 to the number of tokens"
        )
    return bounds
