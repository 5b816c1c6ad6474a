"""What does not go together is refused, and what does is not."""

from __future__ import annotations

from typing import Any

import pytest

from bertc.errors import RecipeError
from bertc.recipe import Recipe

STATIC = {"mode": "static"}
GROUPS = {"mode": "static", "granularity": "per_channel_group"}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"activations": {"granularity": "per_tensor"}}, "per_tensor does not go with mode dynamic"),
        (
            {"activations": {"granularity": "per_channel_group"}},
            "per_channel_group does not go with mode dyn",
        ),
        ({"activations": {**STATIC, "granularity": "per_token"}}, "per_token does not go with mode static"),
        ({"activations": {"group_size": 32}}, "group_size does not go with granularity per_token"),
        ({"activations": {**STATIC, "group_size": 32}}, "group_size does not go with granularity per_tensor"),
        ({"activations": {"symmetric": True}}, "symmetric does not go with mode dynamic"),
        ({"activations": {"observer": {"kind": "max"}}}, "observer does not go with mode dynamic"),
        ({"activations": {**STATIC, "observer": {"percentile": 99}}}, "percentile does not go with kind mse"),
        (
            {"activations": {**STATIC, "observer": {"kind": "kl", "topk_ratio": 0.1}}},
            "topk_ratio does not go with kind kl: it is for topk",
        ),
        ({"dtype": "bf16", "weights": {"bits": 7}}, "weights.bits 7 does not go with dtype bf16"),
        ({"embeddings": "fp32", "parts": {"embeddings": "bf16"}}, "contradicts embeddings fp32"),
        ({"exclude": ["a.*"], "nodes": {"a.*": "bf16"}}, "nodes has 'a.*', which exclude keeps in fp32"),
        ({"calibration": {"format": "csv"}}, "format csv needs calibration.data"),
        ({"calibration": {"data": "hub:glue", "format": "csv"}}, "format csv does not go with data hub:glue"),
        ({"calibration": {"data": "a.txt", "subset": "sst2"}}, "subset is for data sets of the hub"),
        ({"calibration": {"pair_column": "b"}}, "pair_column does not go with the shipped texts"),
        (
            {"calibration": {"data": "a", "format": "ids", "pair_column": "b"}},
            "pair_column does not go with format ids",
        ),
        (
            {"task": "embedding", "budget": {"metric": "top1_agreement"}},
            "top1_agreement does not go with task embedding: it is for class",
        ),
        ({"version": 2}, "version 2 is newer"),
    ],
)
def test_impossible_combinations_are_refused(data: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Recipe.from_dict(data)
    with pytest.raises(RecipeError, match=message):
        Recipe(**data)


@pytest.mark.parametrize(
    "data",
    [
        {"activations": {"mode": "mixed", "observer": {"kind": "percentile", "percentile": 99}}},
        {"activations": {**GROUPS, "group_size": 32, "observer": {"kind": "topk", "topk_ratio": 0.1}}},
        {"activations": {**STATIC, "symmetric": True}},
        {"dtype": "bf16", "parts": {"ffn": "int7", "head": "int8"}},
        {"dtype": "bf16", "activations": STATIC},
        {"embeddings": "fp16", "parts": {"embeddings": "bf16"}},
        {"exclude": ["a.*"], "nodes": {"a.b": "bf16"}},
        {"calibration": {"data": "glue", "format": "hub", "subset": "sst2", "pair_column": "b"}},
        {"budget": {"metric": "accuracy"}, "task": "classification"},
        {"budget": {}, "task": "token_classification"},
    ],
)
def test_what_goes_together_is_accepted(data: dict[str, Any]) -> None:
    recipe = Recipe.from_dict(data)
    assert Recipe.from_dict(recipe.to_dict()) == recipe == Recipe(**data)
