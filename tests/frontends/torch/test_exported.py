"""Modules of transformers become what their checkpoints become: the same ops, numbers and facts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from bertc.frontends.huggingface import import_model
from bertc.frontends.imported_model import ImportedModel
from bertc.frontends.model_class import supported_classes
from bertc.frontends.torch import import_module
from tests.support.doors import assert_same_graph, assert_same_numbers
from tests.support.hf_checkpoints import CONFIGS, load_transformers, save_checkpoint

pytest.importorskip("torch")
pytest.importorskip("transformers")

WHOLE = ("bert", "roberta")
"""The families of which every class is tried; of others, one."""
SHAPES: Mapping[str, str] = {
    "BertModel": "odd sizes",
    "BertForTokenClassification": "wide heads",
    "BertForMaskedLM": "untied",
    "RobertaForSequenceClassification": "odd sizes",
}
"""Configurations of more than the sizes that the others have."""
OTHERS = (
    "AlbertForPreTraining",
    "BertGenerationEncoder",
    "BigBirdForMaskedLM",
    "DebertaV2ForMultipleChoice",
    "DistilBertForQuestionAnswering",
    "ElectraForPreTraining",
    "ErnieModel",
    "EsmForMaskedLM",
    "EuroBertForMaskedLM",
    "GteModel",
    "JinaEmbeddingsV3ForSequenceClassification",
    "LukeForMaskedLM",
    "MegatronBertForNextSentencePrediction",
    "ModernBertForMaskedLM",
    "MPNetModel",
    "NomicBertForMaskedLM",
    "RemBertForMaskedLM",
    "RobertaPreLayerNormForSequenceClassification",
    "RoFormerModel",
    "UltrabertModel",
    "XLMRobertaXLForMaskedLM",
)
UNTRIED = ("deberta", "esmc", "ibert", "jina_bert", "longformer", "squeezebert", "xmod")
"""Families that are refused as a module, or keep steps on the host, one that is RoBERTa but for its name,
and one without a class there."""
CLASSES = (*(each.name for each in supported_classes() if each.model_type in WHOLE), *OTHERS)


@pytest.fixture(scope="module", params=CLASSES)
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[ImportedModel, ImportedModel]:
    folder = tmp_path_factory.mktemp(request.param)
    config: dict[str, Any] = {"num_hidden_layers": 1, **CONFIGS[SHAPES.get(request.param, "default")]}
    if "oberta" in request.param or "MPNet" in request.param:
        config["pad_token_id"] = 1
    save_checkpoint(folder, request.param, **config)
    module, _ = load_transformers(folder, request.param)
    return import_model(folder), import_module(module, tokenizer=folder)


def test_a_module_becomes_what_its_checkpoint_becomes(pair: tuple[ImportedModel, ImportedModel]) -> None:
    expected, found = pair
    assert_same_graph(found, expected)
    assert_same_numbers(found, expected)
    theirs, ours = expected.info, found.info
    assert (ours.task, ours.outputs, ours.labels) == (theirs.task, theirs.outputs, theirs.labels)
    assert (ours.max_seq_length, ours.architecture) == (theirs.max_seq_length, theirs.architecture)
    assert ours.facts.get("mask_token") == theirs.facts.get("mask_token")
    assert found.tokenizer_json == expected.tokenizer_json


def test_every_family_is_tried() -> None:
    known = {each.name: [*each.family.model_types] for each in supported_classes()}
    untried = [family for family in known.values() if family not in map(known.get, CLASSES)]
    assert [family for family in untried if not {*family} <= {*UNTRIED}] == []
