"""``SentenceTransformer``: an embedder with that class's methods and signatures (sentence-transformers 6)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from bertc.artifact.embedding_facts import SIMILARITIES
from bertc.encoder import Encoder
from bertc.sentence_transformers.compiled_model import (
    Array,
    CompiledModel,
    check_device,
    refuse_options,
    tensor,
)
from bertc.tasks.arguments import check_choice
from bertc.tasks.similarity import similarity, similarity_pairwise

_SIMILARITIES = tuple(name for name in SIMILARITIES if "maxsim" not in name)


class SentenceTransformer(CompiledModel):
    """An embedding model, called as ``sentence_transformers.SentenceTransformer`` is.

    Vectors are NumPy arrays unless a tensor is asked for; ``similarity`` gives tensors, as the library does.
    """

    _task: ClassVar[str] = "embedding"

    def __init__(
        self,
        model_name_or_path: str | PathLike[str] | Encoder | None = None,
        *,
        similarity_fn_name: Any = None,
        truncate_dim: int | None = None,
        **options: Any,
    ) -> None:
        """Take a compiled file, or what :func:`bertc.load` compiles at first: a folder or a hub id.

        The other options are those of :class:`CompiledModel`. Raises ``InputError``, and what ``bertc.load``
        does.
        """
        super().__init__(model_name_or_path, **options)
        self.truncate_dim = self._model.facts.truncate_dim if truncate_dim is None else truncate_dim
        """The components that are kept of a vector, None for all."""
        self.similarity_fn_name = similarity_fn_name or self._model.similarity_fn_name

    def encode(
        self,
        inputs: Any = None,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        output_value: str = "sentence_embedding",
        precision: str = "float32",
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: Any = None,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
        pool: Any = None,
        chunk_size: int | None = None,
        *,
        sentences: Any = None,
        ranges: ArrayLike | None = None,
        **kwargs: Any,
    ) -> Any:
        """Embed texts: float32 [texts, dimensions]; one text gives one vector.

        As ``SentenceTransformer.encode``, but: ``pool``, ``chunk_size`` and a list of ``device`` change
        nothing, as one call uses all cores; int8 and uint8 use the ranges of the file (or ``ranges``), not
        those of the texts of the call; no texts give an array [0, dimensions]; ``output_value=None`` is
        refused. Raises ``InputError``, and ``MissingExtraError`` where a tensor is asked for without PyTorch.
        """
        del pool, chunk_size
        check_device(device)
        refuse_options("encode", kwargs)
        kept = self.truncate_dim if truncate_dim is None else truncate_dim
        found = self._model.encode(
            inputs,
            sentences=sentences,
            prompt=self._prompt(prompt, prompt_name),
            batch_size=batch_size,
            show_progress_bar=show_progress_bar,
            output_value=output_value,
            precision=precision or "float32",
            ranges=ranges,
            normalize_embeddings=normalize_embeddings,
            truncate_dim=self._model.dimensions if kept is None else kept,
        )
        if output_value == "sentence_embedding" and convert_to_numpy and not convert_to_tensor:
            return found
        if isinstance(found, list):
            return [tensor(each, "token_embeddings") for each in found]
        whole = tensor(found, "encode with these options")
        return (
            whole if convert_to_tensor or found.ndim == 1 or output_value == "token_embeddings" else [*whole]
        )

    def encode_query(
        self,
        inputs: Any = None,
        prompt_name: str | None = None,
        prompt: str | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """Embed queries: :meth:`encode`, with the prompt ``query`` if there is one and none is given."""
        if prompt_name is None and prompt is None and "query" in self.prompts:
            prompt_name = "query"
        return self.encode(inputs, prompt_name, prompt, *args, **kwargs)

    def encode_document(
        self,
        inputs: Any = None,
        prompt_name: str | None = None,
        prompt: str | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """Embed documents: :meth:`encode`, with the prompt ``document``, ``passage`` or ``corpus``."""
        if prompt_name is None and prompt is None:
            names = ("document", "passage", "corpus")
            prompt_name = next((name for name in names if name in self.prompts), None)
        return self.encode(inputs, prompt_name, prompt, *args, **kwargs)

    def encode_multi_process(self, sentences: Any, pool: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Embed texts in this process, whose call uses all cores: :meth:`encode`."""
        del pool
        return self.encode(sentences, *args, **kwargs)

    @property
    def similarity_fn_name(self) -> str:
        """The function of :meth:`similarity`: cosine, dot, euclidean or manhattan; may be set."""
        return self._similarity_fn_name

    @similarity_fn_name.setter
    def similarity_fn_name(self, value: Any) -> None:
        name = getattr(value, "value", value)
        check_choice("similarity_fn_name", name, _SIMILARITIES)
        self._similarity_fn_name: str = name

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Return the scores of all first embeddings with all second ones, a tensor [first, second]."""
        scores = similarity(self.similarity_fn_name, _array(embeddings1), _array(embeddings2))
        return tensor(scores, "similarity, which gives a tensor as sentence-transformers does,")

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Return the score of each first embedding with the second one in its place, a tensor."""
        scores = similarity_pairwise(self.similarity_fn_name, _array(embeddings1), _array(embeddings2))
        return tensor(scores, "similarity_pairwise, which gives a tensor as sentence-transformers does,")

    def get_embedding_dimension(self) -> int:
        """Return the number of components of a vector that ``encode`` gives."""
        dimensions: int = self._model.dimensions
        return min(dimensions, self.truncate_dim or dimensions)

    def get_sentence_embedding_dimension(self) -> int:
        """Return what :meth:`get_embedding_dimension` does, which was its name before."""
        return self.get_embedding_dimension()

    @contextmanager
    def truncate_embeddings(self, truncate_dim: int | None) -> Iterator[None]:
        """Set :attr:`truncate_dim` for a block."""
        before, self.truncate_dim = self.truncate_dim, truncate_dim
        try:
            yield
        finally:
            self.truncate_dim = before

    truncate_sentence_embeddings = truncate_embeddings


def _array(embeddings: Any) -> Array:
    """Return embeddings as an array: of an array, of a tensor, or of a list of either."""
    if isinstance(embeddings, (list, tuple)):
        return np.asarray([np.asarray(each) for each in embeddings])
    return np.asarray(embeddings)
