"""The compile half on trained checkpoints, against ``transformers``; skipped where they are absent."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from bertc import fidelity
from bertc.frontends.huggingface import import_model
from bertc.ir import interpreter
from bertc.passes import fuse
from bertc.quantize.apply import apply_recipe
from bertc.recipe import Recipe
from tests.support.real_data import MINILM, real_checkpoint
from tests.support.transformers_model import run_transformers

TEXTS = ["A man is playing a guitar.", "Two dogs run in the snow near a lake.", "", "他在北京工作。"]
TOLERANCE = 2e-5
"""Largest absolute difference to transformers in fp32 that the project allows."""

MODELS = {
    MINILM: ("embedding", "last_hidden_state", 0.995),
    "sst2-minilm-l6": ("classification", "logits", 0.999),
    "ner-zh-small": ("token_classification", "logits", 0.999),
}
"""Name -> head, output to compare, and the lowest mean cosine of int8 to fp32."""


def _encode(tokenizer_json: str) -> dict[str, Any]:
    tokenizer = Tokenizer.from_str(tokenizer_json)
    ids = [encoding.ids for encoding in tokenizer.encode_batch(TEXTS)]
    packed = np.concatenate(ids).astype(np.int32)
    return {
        "input_ids": packed,
        "token_type_ids": np.zeros_like(packed),
        "position_ids": np.concatenate([np.arange(len(row), dtype=np.int32) for row in ids]),
        "cu_seqlens": np.cumsum([0, *map(len, ids)]).astype(np.int32),
    }


@pytest.mark.parametrize("name", MODELS)
def test_fp32_equals_transformers_and_lower_precisions_stay_close(name: str) -> None:
    head, output, lowest = MODELS[name]
    path = real_checkpoint(name)
    model = import_model(path)
    inputs = _encode(model.tokenizer_json)
    fused = fuse(model.graph)
    expected = run_transformers(path, inputs, head)[output]
    found = interpreter.run(fused, inputs)[output]
    assert np.abs(found - expected).max() <= TOLERANCE
    for dtype, bound in (("bf16", 0.999), ("int8", lowest)):
        typed = apply_recipe(fused, Recipe(dtype=dtype))
        approximation = interpreter.run(typed, inputs)[output]
        assert fidelity.cosine(expected, approximation).mean() > bound, dtype
