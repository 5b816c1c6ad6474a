"""Models that PyTorch's exporters write become what the checkpoint becomes: the same ops and numbers."""

from __future__ import annotations

import pytest

from bertc import passes
from bertc.frontends.huggingface import import_model
from bertc.frontends.imported_model import ImportedModel
from bertc.frontends.onnx import import_onnx
from tests.support.doors import assert_same_graph, assert_same_numbers
from tests.support.hf_checkpoints import CONFIGS, save_checkpoint
from tests.support.onnx_export import export

pytest.importorskip("torch")
pytest.importorskip("onnxscript")

CASES = (
    ("BertModel", "default", True, "sdpa"),
    ("BertModel", "odd sizes", False, "eager"),
    ("BertForSequenceClassification", "wide heads", True, "eager"),
    ("BertForTokenClassification", "one layer", False, "sdpa"),
    ("BertForQuestionAnswering", "default", True, "sdpa"),
    ("BertForMaskedLM", "untied", False, "eager"),
    ("RobertaForMaskedLM", "default", True, "sdpa"),
    ("RobertaForSequenceClassification", "odd sizes", False, "sdpa"),
    ("BertForPreTraining", "one layer", False, "sdpa"),
    ("ElectraForPreTraining", "one layer", False, "sdpa"),
)
"""A head, a configuration, whether the newer exporter writes it, and how attention is computed."""


@pytest.fixture(scope="module", params=CASES, ids=lambda case: f"{case[0]}-{case[1]}")
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[ImportedModel, ImportedModel]:
    class_name, config, dynamo, attention = request.param
    folder = tmp_path_factory.mktemp(class_name)
    extra = {"pad_token_id": 1} if class_name.startswith("Roberta") else {}
    save_checkpoint(folder, class_name, **{**CONFIGS[config], **extra})
    export(folder, class_name, folder / "model.onnx", dynamo=dynamo, attention=attention)
    return import_model(folder), import_onnx(folder / "model.onnx")


def test_the_graph_is_that_of_the_checkpoint(pair: tuple[ImportedModel, ImportedModel]) -> None:
    assert_same_graph(pair[1], pair[0])


def test_the_numbers_are_those_of_the_checkpoint(pair: tuple[ImportedModel, ImportedModel]) -> None:
    assert_same_numbers(pair[1], pair[0])


def test_the_facts_are_those_of_the_checkpoint(pair: tuple[ImportedModel, ImportedModel]) -> None:
    expected, found = (model.info for model in pair)
    assert (found.task, found.outputs, found.labels) == (expected.task, expected.outputs, expected.labels)
    assert (found.max_seq_length, found.architecture) == (expected.max_seq_length, expected.architecture)
    assert pair[0].tokenizer_json == pair[1].tokenizer_json
    known = {name: value for name, value in expected.facts.items() if name in found.facts}
    assert {name: found.facts[name] for name in known if name != "layer_norm_eps"} == {
        name: value for name, value in known.items() if name != "layer_norm_eps"
    }


def test_layers_have_the_names_of_the_checkpoint(pair: tuple[ImportedModel, ImportedModel]) -> None:
    expected, found = (
        {node.name for node in passes.fuse(model.graph).nodes if "layer" in node.name} for model in pair
    )
    assert {name for name in found if name.startswith("encoder")} == {
        name for name in expected if name.startswith("encoder")
    }
    assert len(pair[0].info.hidden_states) == len(pair[1].info.hidden_states)
