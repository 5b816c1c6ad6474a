"""LangChain's ``Embeddings`` and a reranker of documents (extra: ``langchain``)."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any

from bertc.encoder import Encoder
from bertc.errors import MissingExtraError
from bertc.model_handle import ModelHandle

try:
    from langchain_core.documents import BaseDocumentCompressor, Document
    from langchain_core.embeddings import Embeddings
except ImportError:
    raise MissingExtraError("langchain-core", "langchain", "bertc.langchain") from None


class BertcEmbeddings(Embeddings):
    """Vectors of documents and queries, each with their prompt where the model has one."""

    def __init__(self, model: str | PathLike[str] | Encoder, **options: Any) -> None:
        """Take a compiled file, or what else ``bertc.load`` takes, with its options."""
        self._handle = ModelHandle(model, "embedding", **options)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return the vector of each text."""
        vectors: list[list[float]] = self._handle.model.encode_document(texts).tolist()
        return vectors

    def embed_query(self, text: str) -> list[float]:
        """Return the vector of a query."""
        vector: list[float] = self._handle.model.encode_query(text).tolist()
        return vector


class BertcReranker(BaseDocumentCompressor):
    """The best documents for a query by a cross-encoder, best first, with their scores.

    The scores are ``relevance_score`` in the metadata. The fields of the class are ``model``, a compiled file
    or what else ``bertc.load`` takes, and ``top_n``.
    """

    model: Any
    top_n: int = 3
    _handle: ModelHandle

    def model_post_init(self, context: Any, /) -> None:
        """Remember where the model is. Raises ``InputError`` for a loaded one that is no cross-encoder."""
        super().model_post_init(context)
        self._handle = ModelHandle(self.model, "classification")

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Any = None
    ) -> Sequence[Document]:
        """Return copies of the ``top_n`` best documents. Raises ``InputError`` for several labels."""
        del callbacks
        texts = [document.page_content for document in documents]
        return [
            documents[row["corpus_id"]].model_copy(
                update={"metadata": {**documents[row["corpus_id"]].metadata, "relevance_score": row["score"]}}
            )
            for row in self._handle.model.rank(query, texts, self.top_n)
        ]
