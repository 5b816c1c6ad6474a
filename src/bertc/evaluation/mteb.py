"""A loaded model as ``mteb`` wants one, so that it runs that benchmark's own tasks (extra: mteb, version 2).

``mteb.evaluate(as_mteb_model(bertc.load("minilm.bertc")), mteb.get_tasks(["STSBenchmark"]))``
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from bertc.errors import InputError, MissingExtraError

Array = np.ndarray[Any, Any]
Batches = Iterable[Mapping[str, Any]]
"""Dicts of lists, of which ``text`` has the texts."""


class _Model:
    """What both kinds of models have: facts about themselves."""

    def __init__(self, model: Any, meta: Any) -> None:
        self._model = model
        self.mteb_model_meta = meta


class EmbedderForMteb(_Model):
    """Mteb's ``EncoderProtocol`` for an embedder."""

    def encode(self, inputs: Batches, *, prompt_type: Any = None, **_: Any) -> Array:
        """Return the vectors of all texts, float32; queries and documents have their own prompts."""
        kind = None if prompt_type is None else getattr(prompt_type, "value", prompt_type)
        encode = {"query": self._model.encode_query, "document": self._model.encode_document}
        return np.asarray(encode.get(str(kind), self._model.encode)(_texts(inputs)))

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Return the similarity of all first vectors with all second ones, as a tensor."""
        return _tensor(self._model.similarity(embeddings1, embeddings2))

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Return the similarity of each first vector with the second one in its place, as a tensor."""
        return _tensor(self._model.similarity_pairwise(embeddings1, embeddings2))


class CrossEncoderForMteb(_Model):
    """Mteb's ``CrossEncoderProtocol`` for a cross-encoder."""

    def predict(self, inputs1: Batches, inputs2: Batches, **_: Any) -> Array:
        """Return the score of each pair, float32."""
        return np.asarray(self._model.predict(list(zip(_texts(inputs1), _texts(inputs2), strict=True))))


def as_mteb_model(model: Any) -> EmbedderForMteb | CrossEncoderForMteb:
    """Return an embedder or cross-encoder as ``mteb.evaluate`` wants it; else raises ``InputError``."""
    try:
        from mteb.models import ModelMeta
    except ImportError:
        raise MissingExtraError("mteb", "mteb", "running the tasks of mteb") from None
    known = {
        "name": f"bertc/{model.info.name}",
        "revision": model.artifact.weights_sha256,
        "max_tokens": model.info.max_seq_length,
    }
    if hasattr(model, "encode_query"):
        meta = ModelMeta.create_empty({**known, "embed_dim": model.dimensions})
        return EmbedderForMteb(model, meta)
    if hasattr(model, "predict"):
        return CrossEncoderForMteb(model, ModelMeta.create_empty({**known, "model_type": ["cross-encoder"]}))
    raise InputError(f"{model.info.name} is no embedder and no cross-encoder: mteb has no use for it")


def _texts(inputs: Batches) -> list[str]:
    return [text for batch in inputs for text in batch["text"]]


def _tensor(values: Array) -> Any:
    import torch  # which mteb depends on

    return torch.from_numpy(values)
