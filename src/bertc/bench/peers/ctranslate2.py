"""CTranslate2: its converter reads the checkpoint; it removes padding by itself; pooling is done here.

It is used as https://opennmt.net/CTranslate2/guides/transformers.html shows for BERT.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bertc.bench.engine import Array
from bertc.bench.peers.base import Peer
from bertc.bench.peers.source import Source
from bertc.errors import InputError
from bertc.precision import FP32, INT8

PACKAGES = ("ctranslate2", "torch", "transformers")
COMPUTE_TYPES = {FP32: "float32", INT8: "int8"}


class CTranslate2Peer(Peer):
    """One encoder on all threads, for embedding models alone: it has no heads."""

    library = "ctranslate2"
    packages = PACKAGES
    dtypes = tuple(COMPUTE_TYPES)

    def __init__(self, source: Source, dtype: str, threads: int) -> None:
        """Load an encoder that runs one batch at a time, on all threads."""
        import ctranslate2

        super().__init__(source, dtype, threads)
        self._storage: Any = ctranslate2.StorageView
        self._encoder: Any = ctranslate2.Encoder(
            str(self.convert(source, dtype)),
            device="cpu",
            compute_type=COMPUTE_TYPES[dtype],
            inter_threads=1,
            intra_threads=threads,
        )

    @classmethod
    def convert(cls, source: Source, dtype: str) -> Path:
        """Convert the weights. Raises ``InputError`` for models that the library does not run."""
        if source.info.task != "embedding" or source.info.facts.get("pooling") not in ("mean", "cls"):
            raise InputError("ctranslate2 is compared on embedding models with mean or cls pooling alone")
        return source.converted(dtype, PACKAGES, lambda folder: _convert(source, dtype, folder)) / "model"

    def bind(self, input_ids: Array, attention_mask: Array) -> Callable[[], Array]:
        """Prepare arrays as :meth:`bertc.bench.engine.Engine.bind` says."""
        counts = attention_mask.sum(axis=1, dtype=np.int32)
        ids = self._storage.from_array(np.ascontiguousarray(input_ids, np.int32))
        lengths = self._storage.from_array(counts)
        weights = (attention_mask / counts[:, None])[:, None].astype(np.float32)

        def run() -> Array:
            hidden = np.array(self._encoder.forward_batch(ids, lengths).last_hidden_state, copy=False)
            vectors = hidden[:, 0] if self.info.facts["pooling"] == "cls" else (weights @ hidden)[:, 0]
            if self.info.facts["normalize_embeddings"]:
                vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
            return np.asarray(vectors)

        return run


def _convert(source: Source, dtype: str, folder: Path) -> None:
    from ctranslate2.converters import TransformersConverter

    converter = TransformersConverter(str(source.checkpoint))
    converter.convert(str(folder / "model"), quantization=COMPUTE_TYPES[dtype])
