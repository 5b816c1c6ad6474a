"""A session whose numbers a test chooses: the result for a token is a row of a table, by its id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bertc.artifact.schema import ModelInfo
from bertc.runtime.tokenization import Tokenizer
from bertc.tasks.base import Model
from tests.support.tiny_models import make_tokenizer

Array = np.ndarray[Any, Any]

PER_TOKEN = {"last_hidden_state", "token_logits"}
VOCABULARY: Mapping[str, int] = make_tokenizer().get_vocab()


class TableSession:
    """Looks up ``table`` [vocab, n] by token id; a sequence gives the sum over its tokens.

    Outputs named in ``per_token`` have a row per token, all others one per sequence.
    """

    def __init__(self, table: Array, output: str, *, per_token: bool = False) -> None:
        self.table = table.astype(np.float32)
        self.output_names = (output,)
        self.per_token = per_token
        self.calls: list[int] = []
        """Sequences of each call."""

    def run(
        self,
        input_ids: Array,
        cu_seqlens: Array,
        token_type_ids: Array | None = None,
        position_ids: Array | None = None,
        *,
        outputs: Sequence[str] | None = None,
    ) -> dict[str, Array]:
        del token_type_ids, position_ids
        assert outputs == self.output_names
        assert input_ids.dtype == cu_seqlens.dtype == np.int32
        assert cu_seqlens[0] == 0 and np.all(np.diff(cu_seqlens) > 0) and cu_seqlens[-1] == len(input_ids)
        self.calls.append(len(cu_seqlens) - 1)
        rows = self.table[input_ids]
        if not self.per_token:
            rows = np.add.reduceat(rows, cu_seqlens[:-1], axis=0)
        return {outputs[0]: rows}


def make_info(task: str, **changes: Any) -> ModelInfo:
    """Facts about a model of the tiny test sizes."""
    facts: dict[str, Any] = {
        "name": "tiny",
        "architecture": "BertModel",
        "task": task,
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "intermediate_size": 16,
        "vocab_size": 300,
        "max_position_embeddings": 64,
        "type_vocab_size": 2,
        "max_seq_length": 16,
    }
    return ModelInfo(**{**facts, **changes})


def make_model(session: TableSession, info: ModelInfo) -> Model:
    """A model on ``session`` with the tokenizer of ``tiny_models``."""
    return Model(session, Tokenizer(make_tokenizer().to_str(), info.max_seq_length), info)


def tagging_table(labels: Sequence[str], tags: Mapping[str, str], *, score: float = 4.0) -> Array:
    """Logits per token id: ``tags`` maps a token to its label, every other token is O."""
    table = np.zeros((len(VOCABULARY), len(labels)), np.float32)
    table[:, labels.index("O")] = score
    for token, label in tags.items():
        table[VOCABULARY[token]] = 0
        table[VOCABULARY[token], labels.index(label)] = score
    return table
