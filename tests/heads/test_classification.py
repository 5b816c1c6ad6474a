"""Heads with labels, of sequences and of tokens, on the family that spells them first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bertc.errors import CheckpointError
from bertc.frontends.huggingface import import_model
from bertc.ir import interpreter
from tests.support.tiny_models import make_bert_checkpoint, packed_inputs
from tests.support.transformers_model import run_transformers

TOLERANCE = 2e-5
"""Largest absolute difference to transformers in fp32 that the project allows."""


@pytest.mark.parametrize("head", ["classification", "token_classification"])
def test_heads_equal_transformers(head: str, tmp_path: Path) -> None:
    path = make_bert_checkpoint(tmp_path, head)
    inputs = packed_inputs([1, 5, 20])
    ours = interpreter.run(import_model(path).graph, inputs)
    for name, expected in run_transformers(path, inputs, head).items():
        assert ours[name].shape == expected.shape
        assert np.abs(ours[name] - expected).max() <= TOLERANCE, name


def test_more_labels_than_the_classifier_has_rows_are_told(tmp_path: Path) -> None:
    path = make_bert_checkpoint(tmp_path, "classification")
    text = (path / "config.json").read_text().replace('"1": "positive"', '"1": "positive", "2": "other"')
    (path / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"classifier.weight is \[2, 32\], expected \[3, 32\]"):
        import_model(path)
