"""Haystack's components: embedders of texts and documents, and a ranker (extra: ``haystack``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from os import PathLike, fspath
from typing import Any, ClassVar

from bertc.errors import MissingExtraError
from bertc.model_handle import ModelHandle

try:
    from haystack import Document, component, default_to_dict
except ImportError:
    raise MissingExtraError("haystack-ai", "haystack", "bertc.haystack") from None


class _Component:
    """A component with a model, which is written into a pipeline's file by its place."""

    _task: ClassVar[str]
    _parameters: ClassVar[tuple[str, ...]] = ("model", "num_threads")
    """The names of the constructor's arguments, which are attributes too."""

    def _place(self, model: str | PathLike[str], num_threads: int | None) -> None:
        self.model = fspath(model)
        self.num_threads = num_threads
        self._handle = ModelHandle(model, self._task, num_threads=num_threads)

    def warm_up(self) -> None:
        """Load the model. Raises what ``bertc.load`` does."""
        _ = self._handle.model

    def to_dict(self) -> dict[str, Any]:
        """Return the component as data, as a pipeline's file has it."""
        data: dict[str, Any] = default_to_dict(
            self, **{name: getattr(self, name) for name in self._parameters}
        )
        return data


@component
class BertcTextEmbedder(_Component):
    """Embeds a query, with the model's prompt for queries where it has one."""

    _task = "embedding"

    def __init__(self, model: str | PathLike[str], num_threads: int | None = None) -> None:
        """Take a compiled file, or the place of what else ``bertc.load`` takes."""
        self._place(model, num_threads)

    @component.output_types(embedding=list[float])
    def run(self, text: str) -> dict[str, Any]:
        """Return the vector of a text as ``embedding``."""
        return {"embedding": self._handle.model.encode_query(text).tolist()}


@component
class BertcDocumentEmbedder(_Component):
    """Embeds documents, with the model's prompt for documents where it has one."""

    _task = "embedding"
    _parameters = (*_Component._parameters, "meta_fields_to_embed", "embedding_separator")

    def __init__(
        self,
        model: str | PathLike[str],
        num_threads: int | None = None,
        meta_fields_to_embed: Sequence[str] = (),
        embedding_separator: str = "\n",
    ) -> None:
        """Take a compiled file, or the place of what else ``bertc.load`` takes.

        The fields of ``meta`` that are named stand before a document's text, each followed by the separator.
        """
        self._place(model, num_threads)
        self.meta_fields_to_embed = list(meta_fields_to_embed)
        self.embedding_separator = embedding_separator

    @component.output_types(documents=list[Document])
    def run(self, documents: list[Document]) -> dict[str, Any]:
        """Return copies of the documents with their vectors, as ``documents``."""
        vectors = self._handle.model.encode_document([self._text(each) for each in documents])
        found = [
            replace(document, embedding=vector)
            for document, vector in zip(documents, vectors.tolist(), strict=True)
        ]
        return {"documents": found}

    def _text(self, document: Document) -> str:
        fields = [document.meta.get(name) for name in self.meta_fields_to_embed]
        parts = [str(field) for field in fields if field is not None]
        return self.embedding_separator.join([*parts, document.content or ""])


@component
class BertcRanker(_Component):
    """Puts documents in order by a cross-encoder, best first, with its scores."""

    _task = "classification"
    _parameters = (*_Component._parameters, "top_k")

    def __init__(self, model: str | PathLike[str], num_threads: int | None = None, top_k: int = 10) -> None:
        """Take a compiled cross-encoder, or the place of what else ``bertc.load`` takes."""
        self._place(model, num_threads)
        self.top_k = top_k

    @component.output_types(documents=list[Document])
    def run(self, query: str, documents: list[Document], top_k: int | None = None) -> dict[str, Any]:
        """Return copies of the best documents with their scores, as ``documents``."""
        texts = [document.content or "" for document in documents]
        ranked = self._handle.model.rank(query, texts, top_k or self.top_k)
        return {"documents": [replace(documents[row["corpus_id"]], score=row["score"]) for row in ranked]}
