from __future__ import annotations

import pytest

from bertc.errors import CheckpointError
from bertc.frontends.weights import strip_prefix, unused_modules

ENCODER = ("embeddings.word_embeddings.weight", "encoder.layer.0.output.dense.bias", "pooler.dense.weight")
HEAD = ("classifier.weight", "classifier.bias")


@pytest.mark.parametrize("prefix", ["", "bert.", "module.", "_orig_mod.module.bert.", "0.auto_model."])
def test_a_prefix_is_found_by_what_is_wanted(prefix: str) -> None:
    names = [prefix + name for name in ENCODER]
    assert strip_prefix(names, ENCODER) == dict(zip(ENCODER, names, strict=True))


def test_a_head_beside_the_encoder_loses_what_both_have() -> None:
    names = [*(f"module.bert.{name}" for name in ENCODER), *(f"module.{name}" for name in HEAD), "step"]
    found = strip_prefix(names, (*ENCODER, *HEAD))
    assert found == dict(zip((*ENCODER, *HEAD, "step"), names, strict=True))


def test_a_few_names_that_are_missing_or_old_do_not_hide_the_prefix() -> None:
    names = ["module.embeddings.LayerNorm.gamma", *(f"module.{name}" for name in ENCODER[:2])]
    found = strip_prefix(names, (*ENCODER, "embeddings.LayerNorm.weight"))
    assert found["embeddings.LayerNorm.gamma"] == names[0] and len(found) == 3


def test_names_that_fit_as_they_are_stay_whatever_else_there_is() -> None:
    names = [*ENCODER, *(f"teacher.{name}" for name in ENCODER)]
    assert strip_prefix(names, ENCODER) == {name: name for name in names}
    assert strip_prefix(["a.b", "c"], ENCODER) == {"a.b": "a.b", "c": "c"}
    assert strip_prefix([], ENCODER) == {}


def test_two_models_in_one_file_are_refused_by_their_prefixes() -> None:
    names = [f"{part}.{name}" for part in ("query", "context") for name in ENCODER]
    with pytest.raises(CheckpointError, match=r"2 models, with tensors under 'context.', 'query.'"):
        strip_prefix(names, ENCODER)


def test_what_is_unused_in_layers_that_are_used_is_named_once_for_all_of_them() -> None:
    wanted = [f"encoder.layer.{number}.attention.self.query.weight" for number in range(2)]
    extra = [f"encoder.layer.{number}.attention.self.query_global.weight" for number in range(2)]
    names = [
        *wanted,
        *extra,
        "encoder.layer.2.output.dense.bias",
        "lm_head.weight",
        "embeddings.position_ids",
    ]
    expected = ["encoder.layer", "encoder.layer.*.attention.self.query_global", "lm_head"]
    assert unused_modules(names, wanted) == expected
    scales = [f"encoder.layer.0.output.activation.{name}" for name in ("x_min", "act_scaling_factor")]
    assert unused_modules([*wanted, *scales], wanted) == []
