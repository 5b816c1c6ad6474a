"""``CrossEncoder``: a classifier of pairs with that class's methods (sentence-transformers 6)."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from types import SimpleNamespace
from typing import Any, ClassVar

from bertc.encoder import Encoder
from bertc.errors import InputError
from bertc.sentence_transformers.compiled_model import CompiledModel, check_device, refuse_options, tensor
from bertc.tasks.containers import as_pairs_to_score

_DROPPED = {"num_workers", "convert_to_numpy", "convert_to_tensor", "apply_softmax"}
"""Options of earlier versions that the library's ``predict`` or ``rank`` drops too."""


class CrossEncoder(CompiledModel):
    """A model that scores pairs of texts, called as ``sentence_transformers.CrossEncoder`` is."""

    _task: ClassVar[str] = "classification"

    def __init__(
        self,
        model_name_or_path: str | PathLike[str] | Encoder | None = None,
        *,
        max_length: int | None = None,
        activation_fn: Any = None,
        **options: Any,
    ) -> None:
        """Take a compiled file, or what :func:`bertc.load` compiles at first: a folder or a hub id.

        ``activation_fn`` is a function on the logits, or one of the names that ``bertc.Classifier.predict``
        takes. The other options are those of :class:`CompiledModel`. Raises ``InputError``, and what
        ``bertc.load`` does.
        """
        super().__init__(model_name_or_path, **options)
        self.activation_fn = activation_fn
        """What is put on the logits; None for what the file says."""
        if max_length is not None:
            self.max_seq_length = max_length

    @property
    def num_labels(self) -> int:
        """The number of scores of a pair."""
        return len(self._model.info.labels)

    @property
    def max_length(self) -> int:
        """The earlier name of ``max_seq_length``."""
        return self.max_seq_length

    @max_length.setter
    def max_length(self, value: int) -> None:
        self.max_seq_length = value

    @property
    def config(self) -> SimpleNamespace:
        """The labels, as the ``config`` of a model of ``transformers`` has them, and the model's name."""
        labels = dict(enumerate(self._model.info.labels))
        numbers = {label: number for number, label in labels.items()}
        name = self.model_card_data.model_name
        return SimpleNamespace(num_labels=len(labels), id2label=labels, label2id=numbers, name_or_path=name)

    @property
    def model(self) -> SimpleNamespace:
        """What callers ask of the model of ``transformers`` inside: its name and ``config``."""
        return SimpleNamespace(name_or_path=self.model_card_data.model_name, config=self.config)

    def predict(
        self,
        inputs: Any = None,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        activation_fn: Any = None,
        apply_softmax: bool | None = False,
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: Any = None,
        pool: Any = None,
        chunk_size: int | None = None,
        *,
        sentences: Any = None,
        activation_fct: Any = None,
        num_workers: int = 0,
        **kwargs: Any,
    ) -> Any:
        """Return the score of each pair: float32 [pairs], or [pairs, labels] for several labels.

        As ``CrossEncoder.predict``, but ``pool``, ``chunk_size`` and a list of ``device`` change nothing, as
        one call uses all cores. A prompt stands before the first text of each pair. Raises ``InputError``,
        and ``MissingExtraError`` where a tensor is asked for without PyTorch.
        """
        del pool, chunk_size, num_workers
        check_device(device)
        refuse_options("predict", kwargs)
        if (inputs is None) == (sentences is None):
            raise InputError("predict needs inputs, or sentences, but not both")
        pairs, single = as_pairs_to_score(sentences if inputs is None else inputs)
        scores = self._model.predict(
            [_with_prompt(self._prompt(prompt, prompt_name), pair) for pair in pairs],
            batch_size=batch_size,
            show_progress_bar=show_progress_bar,
            activation_fn=self._activation(activation_fn, activation_fct),
            apply_softmax=bool(apply_softmax),
        )
        scores = scores[0] if single else scores
        if convert_to_tensor or not convert_to_numpy:
            scores = tensor(scores, "predict with these options")
            return scores if convert_to_tensor or single else [*scores]
        return scores

    def rank(
        self,
        query: str,
        documents: Sequence[str],
        top_k: int | None = None,
        return_documents: bool = False,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        activation_fn: Any = None,
        device: Any = None,
        pool: Any = None,
        chunk_size: int | None = None,
        *,
        activation_fct: Any = None,
        **kwargs: Any,
    ) -> list[dict[str, Any]]:
        """Return the documents by their scores for a query, best first: dicts of ``corpus_id`` and ``score``.

        ``top_k`` keeps the best; ``return_documents`` adds ``text``. The others are those of :meth:`predict`.
        Raises ``InputError``, also for a model of several labels.
        """
        del pool, chunk_size
        check_device(device)
        refuse_options("rank", {name: value for name, value in kwargs.items() if name not in _DROPPED})
        ranked: list[dict[str, Any]] = self._model.rank(
            self._prompt(prompt, prompt_name) + query,
            documents,
            top_k,
            return_documents,
            batch_size=batch_size,
            show_progress_bar=show_progress_bar,
            activation_fn=self._activation(activation_fn, activation_fct),
        )
        return ranked

    def _activation(self, activation_fn: Any, activation_fct: Any) -> Any:
        given = (activation_fn, activation_fct, self.activation_fn)
        return next((each for each in given if each is not None), None)


def _with_prompt(prompt: str, pair: Any) -> Any:
    if not prompt:
        return pair
    return prompt + pair if isinstance(pair, str) else (prompt + pair[0], *pair[1:])
