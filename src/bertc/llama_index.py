"""LlamaIndex's embedding and a reranker of nodes (extra: ``llama-index``)."""

from __future__ import annotations

from typing import Any

from bertc.errors import InputError, MissingExtraError
from bertc.model_handle import ModelHandle

try:
    from llama_index.core.base.embeddings.base import BaseEmbedding
    from llama_index.core.bridge.pydantic import Field, PrivateAttr
    from llama_index.core.postprocessor.types import BaseNodePostprocessor
    from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle
except ImportError:
    raise MissingExtraError("llama-index-core", "llama-index", "bertc.llama_index") from None


class BertcEmbedding(BaseEmbedding):
    """Vectors of nodes and queries, each with their prompt where the model has one."""

    model: Any = Field(description="A compiled file, or what else bertc.load takes.")
    model_name: str = Field(default="", description="What callbacks are told; by default the model's place.")
    embed_batch_size: int = Field(default=512, gt=0, le=2048, description="The texts of a call.")
    _handle: ModelHandle = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        """Remember where the model is; raises ``InputError`` for a loaded one that is no embedder."""
        super().model_post_init(context)
        self._handle = ModelHandle(self.model, "embedding")
        self.model_name = self.model_name or str(self.model)

    @classmethod
    def class_name(cls) -> str:
        """Return the name by which LlamaIndex writes the class down."""
        return "BertcEmbedding"

    def _get_query_embedding(self, query: str) -> list[float]:
        vector: list[float] = self._handle.model.encode_query(query).tolist()
        return vector

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_query_embedding(query)

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        vectors: list[list[float]] = self._handle.model.encode_document(texts).tolist()
        return vectors


class BertcRerank(BaseNodePostprocessor):
    """The best nodes for a query by a cross-encoder, best first, with its scores."""

    model: Any = Field(description="A compiled cross-encoder, or what else bertc.load takes.")
    top_n: int = Field(default=2, description="The nodes that are kept.")
    _handle: ModelHandle = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        """Remember where the model is; raises ``InputError`` for a loaded one that is no cross-encoder."""
        super().model_post_init(context)
        self._handle = ModelHandle(self.model, "classification")

    @classmethod
    def class_name(cls) -> str:
        """Return the name by which LlamaIndex writes the class down."""
        return "BertcRerank"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        if query_bundle is None:
            raise InputError("BertcRerank needs the query: pass query_bundle or query_str")
        texts = [node.node.get_content(metadata_mode=MetadataMode.EMBED) for node in nodes]
        ranked = self._handle.model.rank(query_bundle.query_str, texts, self.top_n)
        return [NodeWithScore(node=nodes[row["corpus_id"]].node, score=row["score"]) for row in ranked]
