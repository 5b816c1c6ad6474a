"""Families spell heads, heads know no family: what they say of each other must fit."""

from __future__ import annotations

import pytest

from bertc.architectures import FAMILIES
from bertc.errors import CheckpointError
from bertc.frontends.model_class import find_class, supported_classes
from bertc.heads import HEADS
from bertc.heads.head import TRANSFORM
from bertc.task_table import TASKS


def test_every_head_is_of_a_task_and_every_spelling_of_a_head() -> None:
    assert {head.task for head in HEADS.values()} <= set(TASKS)
    for family in FAMILIES:
        assert {*family.spellings, *family.endings} <= set(HEADS)
        for name, spelling in family.spellings.items():
            assert set(spelling) <= {*HEADS[name].spelling, *TRANSFORM}


def test_classes_are_found_by_their_names() -> None:
    classes = {each.name: each for each in supported_classes()}
    assert {"BertModel", "RobertaForSequenceClassification"} <= set(classes)
    for name, expected in classes.items():
        config = {"model_type": expected.model_type, "architectures": [name]}
        assert find_class(config) == expected


def test_a_sentence_model_is_the_bare_encoder_whatever_it_was_saved_with() -> None:
    config = {"model_type": "roberta", "architectures": ["RobertaForMaskedLM"]}
    assert find_class(config, head="embedding").name == "RobertaModel"
    assert find_class(config, task="embedding").name == "RobertaModel"
    with pytest.raises(CheckpointError, match=r"RobertaForCausalLM.* Supported are RobertaForMaskedLM, "):
        find_class({**config, "architectures": ["RobertaForCausalLM"]})


def test_a_head_that_a_family_lacks_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"'roberta' has no head for the task pretraining: .*masked_lm"):
        find_class({"model_type": "roberta"}, task="pretraining")


def test_a_class_of_another_family_is_refused() -> None:
    config = {"model_type": "roberta", "architectures": ["BertModel"]}
    with pytest.raises(CheckpointError, match="not supported"):
        find_class(config)
