"""``BertcVectorizer``: texts to vectors as a step of a scikit-learn pipeline (extra: ``sklearn``)."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertc.encoder import Encoder
from bertc.errors import InputError, MissingExtraError
from bertc.model_handle import ModelHandle

try:
    from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
    from sklearn.utils.validation import check_is_fitted
except ImportError:
    raise MissingExtraError("scikit-learn", "sklearn", "BertcVectorizer") from None


class BertcVectorizer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """A transformer of texts to float32 [texts, dimensions].

    It learns nothing: ``fit`` loads the model. Clones and pickles hold the place of its file alone.
    """

    def __init__(
        self,
        model: str | PathLike[str] | Encoder,
        *,
        prompt_name: str | None = None,
        prompt: str | None = None,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
        num_threads: int | None = None,
    ) -> None:
        """Take a compiled file, or what else ``bertc.load`` takes; the others are options of ``encode``."""
        self.model = model
        self.prompt_name = prompt_name
        self.prompt = prompt
        self.normalize_embeddings = normalize_embeddings
        self.truncate_dim = truncate_dim
        self.num_threads = num_threads

    def fit(self, X: Any = None, y: Any = None) -> BertcVectorizer:  # noqa: N803 (the name is scikit-learn's)
        """Load the model. Raises what ``bertc.load`` does, and ``InputError`` for one that is no embedder."""
        del X, y
        self._handle = ModelHandle(self.model, "embedding", num_threads=self.num_threads)
        self._n_features_out = self._encode([]).shape[1]
        return self

    def transform(self, X: Iterable[str]) -> NDArray[np.float32]:  # noqa: N803
        """Return the vectors of texts: a list, an array or a column. Raises ``InputError``."""
        check_is_fitted(self, "_n_features_out")
        dimensions = 0 if isinstance(X, str) else getattr(X, "ndim", 1)
        if dimensions != 1:
            raise InputError(
                f"the texts have {dimensions} dimensions: expected a list or one column; name the "
                'column of a table by a string, ("text"), not by a list of one, (["text"])'
            )
        return self._encode(X)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        return tags

    def _encode(self, texts: Any) -> NDArray[np.float32]:
        vectors: NDArray[np.float32] = self._handle.model.encode(
            texts,
            prompt_name=self.prompt_name,
            prompt=self.prompt,
            normalize_embeddings=self.normalize_embeddings,
            truncate_dim=self.truncate_dim,
        )
        return vectors
