"""Token ids that a client has made itself, embedded as they are: no special token is added."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bertc.runtime.batching import pack
from bertc.serve.errors import RequestError
from bertc.tasks.embedding import Embedding
from bertc.tasks.task import Prepared


@dataclass(frozen=True)
class EmbeddingOfIds(Embedding):
    """The task of giving each list of ids a vector."""

    vocab_size: int | None = None
    keeps_end: bool = False
    limit: int = 512

    def prepare(self, items: Sequence[Any], *, first: int = 0) -> Prepared[Sequence[int]]:
        """Return a batch with a sequence for each list. Raises ``RequestError`` for an id that is none."""
        most = self.vocab_size or 2**31
        for index, ids in enumerate(items, first):
            if not all(0 <= number < most for number in ids):
                raise RequestError(
                    "Tokenizer", f"inputs[{index}] has an id outside of the vocabulary: 0 to {most - 1}"
                )
        cut = [ids[-self.limit :] if self.keeps_end else ids[: self.limit] for ids in items]
        truncated = sum(len(ids) > self.limit for ids in items)
        return Prepared(pack(cut, [[0] * len(ids) for ids in cut]), (), truncated)
