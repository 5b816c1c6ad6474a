"""``Encoder``, what ``bertc.load`` returns: one model file, ready to use.

It is thin: the answers come from ``tasks/``, one file per task.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Literal, TypeVar, overload

import numpy as np
from numpy.typing import ArrayLike

from bertc.artifact.reader import Artifact, open_artifact
from bertc.artifact.schema import Buffer, ModelInfo
from bertc.errors import InputError
from bertc.runtime.batching import FloatArray, unpad, windows
from bertc.runtime.session import Session
from bertc.runtime.tokenization import TokenCounts, Tokenizer, as_items, count_tokens
from bertc.tasks import registry
from bertc.tasks.base import Model, Task
from bertc.tasks.classification import Classification, Label
from bertc.tasks.embedding import Embedding
from bertc.tasks.token_classification import OUTSIDE, Entity, TokenClassification

SomeTask = TypeVar("SomeTask", bound=Task)


@dataclass(frozen=True)
class ModelOutput:
    """What calling an ``Encoder`` on padded arrays gives; None for what the model does not have."""

    last_hidden_state: FloatArray | None = None
    """[batch, seq, hidden], zero where the mask is zero."""
    pooler_output: FloatArray | None = None
    """[batch, hidden]; zero for a row without a token."""
    logits: FloatArray | None = None
    """[batch, labels] or, for token classification, [batch, seq, labels]."""


class Encoder:
    """A loaded model. Safe to share between threads; survives ``fork``; pickles by its path."""

    def __init__(
        self, path: str | PathLike[str], *, num_threads: int | None = None, verify: bool = False
    ) -> None:
        artifact = open_artifact(path, verify=verify)
        self._arguments = (str(Path(path).absolute()), num_threads)
        self.session = Session(artifact, num_threads=num_threads)
        self.tokenizer = Tokenizer(artifact.tokenizer_json, self.info.max_seq_length)
        self._task = registry.create(Model(self.session, self.tokenizer, self.info))

    @property
    def artifact(self) -> Artifact:
        """The opened file: manifest, tensors, hashes."""
        return self.session.artifact

    @property
    def info(self) -> ModelInfo:
        """The facts about the model: sizes, labels, limits."""
        return self.artifact.manifest.model

    @overload
    def encode(
        self,
        inputs: Any = ...,
        *,
        sentences: Any = ...,
        batch_size: int = ...,
        show_progress_bar: bool | None = ...,
        normalize_embeddings: bool = ...,
        truncate_dim: int | None = ...,
        convert_to_numpy: Literal[True] = ...,
    ) -> FloatArray: ...

    @overload
    def encode(
        self,
        inputs: Any = ...,
        *,
        sentences: Any = ...,
        batch_size: int = ...,
        show_progress_bar: bool | None = ...,
        normalize_embeddings: bool = ...,
        truncate_dim: int | None = ...,
        convert_to_numpy: bool,
    ) -> FloatArray | list[FloatArray]: ...

    def encode(
        self,
        inputs: Any = None,
        *,
        sentences: Any = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
        convert_to_numpy: bool = True,
    ) -> FloatArray | list[FloatArray]:
        """Embed texts: a float32 array [texts, hidden], in the order of ``inputs``.

        One string gives one vector [hidden]. A tuple is a pair, a list of lists is words. The names
        are those of sentence-transformers: ``sentences`` is another name for ``inputs``;
        ``truncate_dim`` keeps the first components and ``normalize_embeddings`` scales what is left
        to length 1; ``convert_to_numpy=False`` gives a list of vectors. ``batch_size`` changes
        neither results nor, as nothing is padded, speed. Raises ``InputError``.
        """
        if (inputs is None) == (sentences is None):
            raise InputError("encode needs inputs, or sentences, but not both")
        return self._as(Embedding, "encode").encode(
            sentences if inputs is None else inputs,
            batch_size=batch_size,
            show_progress_bar=show_progress_bar,
            normalize_embeddings=normalize_embeddings,
            truncate_dim=truncate_dim,
            convert_to_numpy=convert_to_numpy,
        )

    def classify(
        self, inputs: Any, *, top_k: int | None = 1, show_progress_bar: bool | None = None
    ) -> Label | list[Label] | list[list[Label]]:
        """The best label of each text or pair: ``{"label": ..., "score": ...}``.

        A string, or a tuple (a pair), gives one answer, a list gives a list. With ``top_k`` above
        1, an answer is a list of that many labels, best first; None means all labels. Raises
        ``InputError``.
        """
        return self._as(Classification, "classify").classify(
            inputs, top_k=top_k, show_progress_bar=show_progress_bar
        )

    def tag(
        self,
        inputs: Any,
        *,
        aggregation_strategy: str = "simple",
        ignore_labels: Sequence[str] = (OUTSIDE,),
        show_progress_bar: bool | None = None,
    ) -> list[Entity] | list[list[Entity]]:
        """The entities in each text: dicts of entity_group, score, word, start, end.

        ``word`` is ``text[start:end]``. For words (a list of lists of strings) ``start`` and
        ``end`` count words, and ``word`` joins them by spaces. A string gives one list of entities,
        a list gives a list of lists. ``aggregation_strategy="none"`` gives each token by itself
        (``entity`` and ``index`` in place of ``entity_group``). Raises ``InputError``.
        """
        return self._as(TokenClassification, "tag").tag(
            inputs,
            aggregation_strategy=aggregation_strategy,
            ignore_labels=ignore_labels,
            show_progress_bar=show_progress_bar,
        )

    def predict_tags(
        self, words: Sequence[Any], *, show_progress_bar: bool | None = None
    ) -> list[str] | list[list[str]]:
        """One label per word: that of its first token.

        ``words`` is one list of words, or a list of such lists. A list that is longer than the
        model's limit is cut into consecutive pieces, and no label is lost. A word without a token
        (white space) gets "O". Raises ``InputError``.
        """
        return self._as(TokenClassification, "predict_tags").predict_tags(
            words, show_progress_bar=show_progress_bar
        )

    def count_tokens(self, inputs: Any, *, truncate: bool = True) -> TokenCounts:
        """How many tokens the model sees of ``inputs``, and how many of these are truncated.

        With ``truncate=False``, which is for lists of words, counted as :meth:`predict_tags` sees
        them: cut into pieces, each with its special tokens.
        """
        return count_tokens(self.tokenizer, windows(as_items(inputs)[0]), truncate=truncate)

    def __call__(
        self,
        input_ids: ArrayLike,
        attention_mask: ArrayLike | None = None,
        token_type_ids: ArrayLike | None = None,
        position_ids: ArrayLike | None = None,
    ) -> ModelOutput:
        """Run padded [batch, seq] integer arrays, as ``transformers`` models are called.

        Any mask works; each token's position is its column unless ``position_ids`` says otherwise,
        a pooler reads the first token that the mask keeps, and a row without a token gives zeros.
        Returns a :class:`ModelOutput`. Raises ``InputError``.
        """
        layout = unpad(input_ids, attention_mask, token_type_ids, position_ids)
        outputs = self._padded_outputs()
        packed = layout.packed
        if len(packed.input_ids):
            results = self.session.run(
                packed.input_ids,
                packed.cu_seqlens,
                packed.token_type_ids,
                packed.position_ids,
                outputs=tuple(outputs),
            )
        else:
            results = {name: np.empty((0, buffer.columns), np.float32) for name, buffer in outputs.items()}
        spread = {"tokens": layout.spread_tokens, "sequences": layout.spread_sequences}
        return ModelOutput(**{name: spread[outputs[name].rows](rows) for name, rows in results.items()})

    def _padded_outputs(self) -> dict[str, Buffer]:
        """The model's outputs that :class:`ModelOutput` has a place for."""
        program = self.artifact.manifest.program
        buffers = {buffer.name: buffer for buffer in program.buffers}
        places = ModelOutput.__dataclass_fields__
        return {name: buffers[buffer] for name, buffer in program.outputs.items() if name in places}

    def _as(self, kind: type[SomeTask], method: str) -> SomeTask:
        if isinstance(self._task, kind):
            return self._task
        raise InputError(
            f"{self.info.name} is a model for {self._task.name}: it answers "
            f"{' and '.join(self._task.methods)}, not {method}"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, self._arguments

    def __repr__(self) -> str:
        return (
            f"<bertc.Encoder {self.info.name!r} for {self.info.task}, {self.session.num_threads} threads, "
            f"{self.session.isa}>"
        )


def load(path: str | PathLike[str], *, num_threads: int | None = None, verify: bool = False) -> Encoder:
    """Load a ``.bertc`` file.

    ``num_threads`` defaults to what the affinity mask and the cgroup allow. ``verify`` checks the
    stored SHA-256 of the weights, which reads the whole file. Raises ``ArtifactError`` for a file
    that is damaged, and ``OSError`` for one that cannot be opened.
    """
    return Encoder(path, num_threads=num_threads, verify=verify)


def _restore(path: str, num_threads: int | None) -> Encoder:
    return Encoder(path, num_threads=num_threads)
