"""Text to a vector for each token, compared by late interaction, as ColBERT has it (arXiv:2004.12832).

Lengths, prompts, the expansion of queries and the tokens that are left out are those of the model's folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertc.artifact.embedding_facts import DOCUMENT, QUERY, QueryExpansion
from bertc.runtime.batching import FloatArray, PackedBatch, pack
from bertc.runtime.tokenization import Tokenizer
from bertc.runtime.unit_rows import normalized
from bertc.tasks.arguments import check_count
from bertc.tasks.drive import drive
from bertc.tasks.similarity import maxsim
from bertc.tasks.task import Prepared
from bertc.tasks.text_encoder import TextEncoder, as_texts


@dataclass(frozen=True)
class KeptTokens:
    """Which tokens of a batch are answered."""

    counts: Sequence[int]
    """The tokens of each item."""
    kept: NDArray[np.bool_]
    """Of each token: whether its vector is returned."""


@dataclass(frozen=True)
class LateInteraction:
    """The vectors of each text or pair."""

    tokenizer: Tokenizer
    expansion: QueryExpansion | None = None
    """How texts are lengthened."""
    skipped: tuple[int, ...] = ()
    """The ids of tokens that get no vector."""
    normalize: bool = False
    output: str = "token_embeddings"

    def prepare(self, items: Sequence[Any], *, first: int = 0) -> Prepared[KeptTokens]:
        """A sequence for each item that has a token, lengthened."""
        tokenized = self.tokenizer(items, first=first)
        counts = [len(each) for each in tokenized.encodings]
        batch = tokenized.packed
        if self.expansion is not None:
            batch = self._expand(tokenized.encodings, self.expansion)
            counts = [max(count, self.expansion.length) for count in counts]
        kept = ~np.isin(batch.inputs["input_ids"], self.skipped)
        return Prepared(batch, KeptTokens(counts, kept), tokenized.truncated, self.tokenizer.max_seq_length)

    def finish(self, prepared: Prepared[KeptTokens], values: FloatArray) -> list[FloatArray]:
        """float32 [tokens, dimensions] for each item."""
        context = prepared.context
        parts = np.split(np.arange(len(values)), np.cumsum(context.counts)[:-1])
        rows = [values[part[context.kept[part]]] for part in parts]
        return [normalized(each) for each in rows] if self.normalize else rows

    def _expand(self, encodings: Sequence[Any], expansion: QueryExpansion) -> PackedBatch:
        ids, types, attended = [], [], []
        for encoding in encodings:
            missing = max(0, expansion.length - len(encoding))
            ids.append([*encoding.ids, *[expansion.token_id] * missing])
            types.append([*encoding.type_ids, *[0] * missing])
            attended.append(np.arange(len(ids[-1])) < len(encoding))
        batch = pack(ids, types)
        if expansion.attends:
            return batch
        flags = np.concatenate(attended).astype(np.int32)
        return PackedBatch({**batch.inputs, "attended": flags}, batch.cu_seqlens)


class TokenEmbedder(TextEncoder):
    """A loaded model that gives each token of a text a vector, for late interaction."""

    _usual_similarity = "maxsim"

    @property
    def dimensions(self) -> int:
        """The number of components of a vector."""
        port = self.info.output("token_embeddings")
        assert port is not None, "the reader has checked that it is there"
        return port.columns

    def encode_tokens(
        self,
        inputs: Any,
        *,
        is_query: bool | None = None,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        normalize_embeddings: bool = False,
    ) -> FloatArray | list[FloatArray]:
        """Embed the tokens of texts: a list of float32 arrays [tokens, dimensions], one array for one string.

        ``is_query`` says what the texts are: the model's prompt, length and expansion for that are used. With
        None they are taken as sentence-transformers' ``encode`` takes them: as neither, but without the
        tokens that documents leave out. Special tokens have vectors too. ``inputs`` and prompts are those
        of :meth:`Embedder.encode`. Raises ``InputError``.
        """
        check_count("batch_size", batch_size)
        task = "" if is_query is None else QUERY if is_query else DOCUMENT
        items, single = as_texts(inputs, self._prompt(prompt, prompt_name, task))
        windows = drive(
            self,
            self._task(task, normalize_embeddings),
            items,
            min_items=batch_size,
            method="encode_tokens",
            show_progress=show_progress_bar,
        )
        vectors = [rows for window in windows for rows in window]
        return vectors[0] if single else vectors

    def encode_query(self, inputs: Any, **options: Any) -> FloatArray | list[FloatArray]:
        """Embed the tokens of queries: :meth:`encode_tokens` with ``is_query=True``."""
        return self.encode_tokens(inputs, is_query=True, **options)

    def encode_document(self, inputs: Any, **options: Any) -> FloatArray | list[FloatArray]:
        """Embed the tokens of documents: :meth:`encode_tokens` with ``is_query=False``."""
        return self.encode_tokens(inputs, is_query=False, **options)

    def maxsim(self, queries: Any, documents: Any) -> FloatArray:
        """Return the scores of all queries with all documents, float32 [queries, documents].

        Both are what :meth:`encode_query` and :meth:`encode_document` return. For each token of a query the
        largest dot product with a token of the document counts; they are summed, or averaged where
        :attr:`similarity_fn_name` is "meanmaxsim". Raises ``InputError``.
        """
        return maxsim(queries, documents, mean=self.similarity_fn_name == "meanmaxsim")

    similarity = maxsim

    def _task(self, task: str, normalize: bool) -> LateInteraction:
        facts = self.facts
        expansion = facts.query_expansion if task == QUERY else None
        limit = self._limit(task)
        if expansion is not None:
            limit = expansion.length if expansion.cuts else max(limit, expansion.length)
        skips = (task or DOCUMENT) in facts.skip_tasks
        return LateInteraction(
            self._tokenizer_for(limit), expansion, facts.skipped_token_ids if skips else (), normalize
        )
