"""Models that PyTorch's exporters write become what the checkpoint becomes: the same ops and numbers."""

from __future__ import annotations

import numpy as np
import pytest

from bertc import passes
from bertc.frontends.huggingface import import_model
from bertc.frontends.imported_model import ImportedModel
from bertc.frontends.onnx import import_onnx
from bertc.ir.printer import to_text
from bertc.lowering.lower import lower
from tests.support.doors import assert_same_graph, assert_same_numbers
from tests.support.hf_checkpoints import CONFIGS, save_checkpoint
from tests.support.onnx_export import export

pytest.importorskip("torch")
pytest.importorskip("onnxscript")

CASES = (
    ("BertModel", "default", 18, True, "sdpa"),
    ("BertModel", "odd sizes", 11, False, "eager"),
    ("BertForSequenceClassification", "wide heads", 20, True, "eager"),
    ("BertForTokenClassification", "one layer", 17, False, "sdpa"),
    ("BertForQuestionAnswering", "default", 23, True, "sdpa"),
    ("BertForMaskedLM", "untied", 13, False, "eager"),
    ("RobertaForMaskedLM", "default", 20, True, "sdpa"),
    ("RobertaForSequenceClassification", "odd sizes", 14, False, "sdpa"),
    ("BertForPreTraining", "one layer", 17, False, "sdpa"),
    ("AlbertForPreTraining", "default", 17, False, "eager"),
    ("ElectraForPreTraining", "one layer", 17, False, "sdpa"),
    ("MPNetForMaskedLM", "one layer", 18, True, "eager"),
    ("RobertaForMultipleChoice", "one layer", 18, True, "sdpa"),
)
"""A head, a configuration, an opset, whether the newer exporter writes it, and how attention is computed."""


@pytest.fixture(scope="module", params=CASES, ids=lambda case: f"{case[0]}-{case[1]}")
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[ImportedModel, ImportedModel]:
    class_name, config, opset, dynamo, attention = request.param
    folder = tmp_path_factory.mktemp(class_name)
    extra = {"pad_token_id": 1} if class_name.startswith("Roberta") else {}
    save_checkpoint(folder, class_name, **{**CONFIGS[config], **extra})
    export(folder, class_name, folder / "model.onnx", opset=opset, dynamo=dynamo, attention=attention)
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
    assert {name: found.facts[name] for name in known} == known


def _skip_other_names(model: ImportedModel) -> None:
    if "PreTraining" in model.info.architecture or "MPNet" in model.info.architecture:
        pytest.skip("a door names MPNet's modules, those of these heads and ELECTRA's projection as BERT's")


def test_the_printed_graph_is_that_of_the_checkpoint(pair: tuple[ImportedModel, ImportedModel]) -> None:
    """Names, operands, types and attributes; what RoBERTa calls its heads is its own."""
    _skip_other_names(pair[0])
    expected, found = (
        [line.strip() for line in to_text(passes.fuse(model.graph)).splitlines()] for model in pair
    )
    begins = ("encoder", "constant encoder", "embeddings", "constant embeddings")
    assert sorted(each for each in found if each.startswith(begins)) == sorted(
        each for each in expected if each.startswith(begins)
    )
    if "Roberta" not in pair[0].info.architecture:
        assert sorted(found) == sorted(expected)
    assert pair[1].info.hidden_states == pair[0].info.hidden_states


def test_the_weights_are_bit_for_bit_those_of_the_checkpoint(
    pair: tuple[ImportedModel, ImportedModel],
) -> None:
    _skip_other_names(pair[0])
    expected, found = (passes.fuse(model.graph).constants for model in pair)
    types = "Roberta" not in pair[0].info.architecture  # which exports without: all are the first
    for name, constant in expected.items():
        if name.startswith(("encoder", "embeddings")) and (types or "token_type" not in name):
            np.testing.assert_array_equal(found[name].array, constant.array, err_msg=name)


def test_the_executable_is_that_of_the_checkpoint(pair: tuple[ImportedModel, ImportedModel]) -> None:
    """So it is as fast: the same steps, buffers and memory."""
    _skip_other_names(pair[0])
    expected, found = (lower(passes.fuse(model.graph)).program for model in pair)
    assert found.slots == expected.slots
    assert [step.op for step in found.steps] == [step.op for step in expected.steps]
    if "Roberta" not in pair[0].info.architecture:  # whose heads have names of their own
        assert found == expected
