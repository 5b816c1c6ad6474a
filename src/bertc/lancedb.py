"""LanceDB's embedding function ``bertc``: importing this module registers it (extra: ``lancedb``)."""

from __future__ import annotations

from typing import Any

from bertc.errors import MissingExtraError
from bertc.model_handle import ModelHandle

try:
    from lancedb.embeddings import TextEmbeddingFunction, register
except ImportError:
    raise MissingExtraError("lancedb", "lancedb", "bertc.lancedb") from None


@register("bertc")
class BertcEmbeddings(TextEmbeddingFunction):
    """Vectors of a table's texts, and of queries, each with their prompt where the model has one.

    ``name`` is a compiled file, or the place of what else ``bertc.load`` takes. It is stored in the table.
    """

    name: str
    _handle: ModelHandle

    def model_post_init(self, context: Any, /) -> None:
        """Remember where the model is."""
        super().model_post_init(context)
        self._handle = ModelHandle(self.name, "embedding")

    def ndims(self) -> int:
        """Return the number of components of a vector."""
        width: int = self._handle.model.encode([]).shape[1]
        return width

    def generate_embeddings(self, texts: Any, *args: Any, **kwargs: Any) -> list[Any]:
        """Return the vector of each text."""
        del args, kwargs
        return list(self._handle.model.encode_document(list(texts)))

    def compute_query_embeddings(self, query: str, *args: Any, **kwargs: Any) -> list[Any]:
        """Return the vector of a query, alone in a list."""
        del args, kwargs
        return list(self._handle.model.encode_query(self.sanitize_input(query)))
