"""What a file says of how an embedding model is called: prompts, lengths, what is left out of answers.

The names are those of sentence-transformers, whose folders say it; nothing of it changes the program.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from bertc.errors import ArtifactError

SIMILARITIES = ("cosine", "dot", "euclidean", "manhattan", "maxsim", "meanmaxsim")
"""The similarity functions that a folder may name."""
FEATURES = ("default_prompt_name", "truncate_dim")
"""The fields of ``EmbeddingFacts`` that readers from before it would get wrong: features of the format."""
QUERY, DOCUMENT = "query", "document"


@dataclass(frozen=True)
class QueryExpansion:
    """How short queries of a late-interaction model are lengthened with mask tokens."""

    length: int
    """The tokens of a query, expansion included."""
    token_id: int
    attends: bool
    """Whether the other tokens attend to the expansion."""
    cuts: bool = True
    """Whether longer queries are cut to ``length``."""


@dataclass(frozen=True)
class Ranges:
    """The smallest and the largest value of each component over calibration texts."""

    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class EmbeddingFacts:
    """How a model that embeds is called, where callers do not say it."""

    prompts: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """What is put before texts, by name."""
    default_prompt_name: str | None = None
    include_prompt: bool = True
    """Whether a sentence's vector is pooled over the prompt's tokens too."""
    similarity_fn_name: str | None = None
    """One of ``SIMILARITIES``, or None for what is usual for the task."""
    truncate_dim: int | None = None
    """The components that are kept of a vector, or None for all."""
    max_active_dims: int | None = None
    """The largest entries that are kept of a sparse vector, or None for all."""
    max_lengths: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """The longest sequence in tokens of a ``query``, of a ``document`` and, as "", of any other text, where
    one is shorter than ``ModelInfo.max_seq_length``."""
    query_expansion: QueryExpansion | None = None
    skipped_token_ids: tuple[int, ...] = ()
    """Tokens that get no vector, in texts for one of ``skip_tasks``."""
    skip_tasks: tuple[str, ...] = (DOCUMENT,)
    ranges: Ranges | None = None
    """Of vectors as the program gives them."""
    normalized_ranges: Ranges | None = None
    """Of vectors cut to ``truncate_dim`` and then divided by their length."""

    @property
    def all_prompts(self) -> dict[str, str]:
        """What may be put before texts, by name: ``query`` and ``document`` are always there."""
        return {QUERY: "", DOCUMENT: "", **self.prompts}

    @property
    def features(self) -> tuple[str, ...]:
        """Those of ``FEATURES`` that the file uses."""
        return tuple(name for name in FEATURES if getattr(self, name))

    def check(self, columns: int, max_seq_length: int) -> None:
        """Raise ``ArtifactError`` for what makes no sense for vectors of ``columns`` components."""
        sizes = [self.truncate_dim, self.max_active_dims, *self.max_lengths.values()]
        lengths = [*self.max_lengths.values()]
        if self.query_expansion is not None:
            lengths.append(self.query_expansion.length)
            sizes += [self.query_expansion.length, self.query_expansion.token_id + 1]
        problems = {
            "default_prompt_name": self.default_prompt_name not in (None, *self.prompts),
            "similarity_fn_name": self.similarity_fn_name not in (None, *SIMILARITIES),
            "sizes": any(size is not None and size < 1 for size in sizes),
            "lengths": any(length > max_seq_length for length in lengths),
            "ranges": not _fits(self.ranges, columns),
            "normalized_ranges": not _fits(
                self.normalized_ranges, min(columns, self.truncate_dim or columns)
            ),
        }
        wrong = [name for name, is_wrong in problems.items() if is_wrong]
        if wrong:
            raise ArtifactError(
                f"manifest.model.embedding: {' and '.join(wrong)} cannot be: compile the model again"
            )


def _fits(ranges: Ranges | None, columns: int) -> bool:
    return ranges is None or (
        len(ranges.low) == len(ranges.high) == columns
        and all(low <= high for low, high in zip(ranges.low, ranges.high, strict=True))
    )
