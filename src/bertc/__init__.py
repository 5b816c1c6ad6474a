"""bertc, the BERT compiler: a checkpoint in, one file out, fast on ordinary processors.

>>> import bertc
>>> bertc.compile("all-MiniLM-L6-v2", "minilm.bertc")            # doctest: +SKIP
>>> bertc.load("minilm.bertc").encode(["a text", "another"])     # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bertc.artifact.reader import Artifact
    from bertc.compiler import compile  # noqa: A004
    from bertc.compiler.export import export
    from bertc.compiler.inspect import inspect
    from bertc.embedding_tables import EmbeddingTables
    from bertc.encoder import Encoder
    from bertc.errors import (
        ArtifactError,
        BertcError,
        BudgetError,
        CheckpointError,
        GraphError,
        InputError,
        MissingExtraError,
        RecipeError,
        TruncationWarning,
    )
    from bertc.loading import load
    from bertc.recipe import Recipe
    from bertc.tasks.classification import Classifier
    from bertc.tasks.embedding import Embedder
    from bertc.tasks.late_interaction import TokenEmbedder
    from bertc.tasks.masked_lm import MaskFiller
    from bertc.tasks.multiple_choice import Chooser
    from bertc.tasks.next_sentence import NextSentencePredictor
    from bertc.tasks.pretraining import PretrainedModel
    from bertc.tasks.question_answering import QuestionAnswerer
    from bertc.tasks.replaced_token import ReplacedTokenDetector
    from bertc.tasks.sparse import SparseEmbedder
    from bertc.tasks.token_classification import Tagger
    from bertc.training.finetune import finetune
    from bertc.version import __version__

_HOMES = {
    "Artifact": "artifact.reader",
    "Chooser": "tasks.multiple_choice",
    "Classifier": "tasks.classification",
    "Embedder": "tasks.embedding",
    "EmbeddingTables": "embedding_tables",
    "Encoder": "encoder",
    "MaskFiller": "tasks.masked_lm",
    "NextSentencePredictor": "tasks.next_sentence",
    "PretrainedModel": "tasks.pretraining",
    "QuestionAnswerer": "tasks.question_answering",
    "Recipe": "recipe",
    "ReplacedTokenDetector": "tasks.replaced_token",
    "SparseEmbedder": "tasks.sparse",
    "Tagger": "tasks.token_classification",
    "TokenEmbedder": "tasks.late_interaction",
    "__version__": "version",
    "compile": "compiler",
    "export": "compiler.export",
    "finetune": "training.finetune",
    "inspect": "compiler.inspect",
    "load": "loading",
}
"""The module of each public name but the errors, imported at first use: loading a model must not pay for the
compiler, nor the compiler for the tokenizer."""

__all__ = [
    "Artifact",
    "ArtifactError",
    "BertcError",
    "BudgetError",
    "CheckpointError",
    "Chooser",
    "Classifier",
    "Embedder",
    "EmbeddingTables",
    "Encoder",
    "GraphError",
    "InputError",
    "MaskFiller",
    "MissingExtraError",
    "NextSentencePredictor",
    "PretrainedModel",
    "QuestionAnswerer",
    "Recipe",
    "RecipeError",
    "ReplacedTokenDetector",
    "SparseEmbedder",
    "Tagger",
    "TokenEmbedder",
    "TruncationWarning",
    "__version__",
    "compile",
    "export",
    "finetune",
    "inspect",
    "load",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'bertc' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"bertc.{_HOMES.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
