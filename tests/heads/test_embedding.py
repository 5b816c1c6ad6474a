from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bertc.frontends.huggingface import import_model
from bertc.ir import interpreter
from tests.support.tiny_graphs import bert_graph
from tests.support.tiny_models import make_bert_checkpoint, packed_inputs


def test_an_encoder_without_pooler_has_no_pooler_output(tmp_path: Path) -> None:
    graph = import_model(make_bert_checkpoint(tmp_path, pooler=False)).graph
    assert list(graph.outputs) == ["last_hidden_state", "sentence_embedding"]


@pytest.mark.parametrize("pooling", ["cls", "mean", "max"])
def test_sentence_embedding_is_the_pooled_last_hidden_state(pooling: str, tmp_path: Path) -> None:
    path = make_bert_checkpoint(tmp_path, pooling=pooling, normalize=True)
    result = interpreter.run(import_model(path).graph, packed_inputs([4, 6]))
    rows = result["last_hidden_state"][4:]
    pooled = {"cls": rows[0], "mean": rows.mean(axis=0), "max": rows.max(axis=0)}[pooling]
    np.testing.assert_allclose(
        result["sentence_embedding"][1], pooled / np.linalg.norm(pooled), rtol=0, atol=1e-6
    )


def test_pooler_pooling_is_the_pooler_output() -> None:
    result = interpreter.run(bert_graph(pooling="pooler"), packed_inputs([4, 6]))
    np.testing.assert_array_equal(result["sentence_embedding"], result["pooler_output"])
