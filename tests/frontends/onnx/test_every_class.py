"""Every class that compiles from its checkpoint comes through the other doors as the same model.

By PyTorch's older exporter in each run of the tests; ``--door=newer`` and ``--door=module`` try the others.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import bertc
from bertc.frontends.huggingface import import_model
from bertc.frontends.imported_model import ImportedModel
from bertc.frontends.model_class import ModelClass, supported_classes
from bertc.frontends.onnx import import_onnx
from bertc.frontends.torch import import_module
from tests.support.doors import assert_same_graph, assert_same_numbers
from tests.support.hf_checkpoints import save_checkpoint
from tests.support.onnx_export import export

pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("onnx")

FORMS = ((11, "eager"), (13, "eager"), (14, "sdpa"), (18, "sdpa"))
"""Opsets, and how attention is computed; classes take turns."""
REFUSED = {"ModernBertForMultipleChoice": "ArgMax", "RoFormerForMultipleChoice": "counts padding on purpose"}
"""Classes whose exports are refused, and why: one looks for the first token by the mask, one takes the last
column, padding or not."""
OF_TOKENS = ("EuroBertForSequenceClassification",)
"""Classes whose export is an embedding model's: the mean of what each token gets, be it of labels."""
BY_CHECKPOINT = ("esmc", "longformer", "squeezebert", "xmod")
"""Families whose exports are refused by name (tokens chosen by a mask), or keep steps on the host."""
OF_SIZES = {"newer": "sizes that it is given depend on", "module": "a size cannot be compared"}
"""Why a door refuses DeBERTa's first version, whose tables are cut to the smaller of two sizes."""
CLASSES = tuple(
    each
    for each in supported_classes()
    if each.name not in (*REFUSED, *OF_TOKENS)
    and each.model_type not in BY_CHECKPOINT
    and hasattr(transformers, each.name)
)


@pytest.mark.filterwarnings("ignore:.*has no tokenizer beside it")  # of modules
@pytest.mark.parametrize("index", range(len(CLASSES)), ids=[each.name for each in CLASSES])
def test_every_class_becomes_what_its_checkpoint_becomes(
    index: int, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    supported = CLASSES[index]
    opset, attention = FORMS[index % len(FORMS)]
    door = pytestconfig.getoption("--door")
    folder = checkpoint_of(supported, tmp_path)
    if supported.model_type == "deberta" and door in OF_SIZES:
        with pytest.raises(bertc.CheckpointError, match=OF_SIZES[door]):
            imported(supported, folder, door, opset, attention)
        return
    found, expected = imported(supported, folder, door, opset, attention), import_model(folder)
    assert_same_graph(found, expected)
    assert_same_numbers(found, expected)
    theirs, ours = expected.info, found.info
    assert (ours.task, ours.outputs, ours.labels) == (theirs.task, theirs.outputs, theirs.labels)
    assert (ours.max_seq_length, ours.architecture) == (theirs.max_seq_length, theirs.architecture)


@pytest.mark.parametrize(("name", "reason"), REFUSED.items())
def test_a_class_that_takes_its_tokens_by_the_padding_is_refused(
    name: str, reason: str, tmp_path: Path
) -> None:
    supported = next(each for each in supported_classes() if each.name == name)
    with pytest.raises(bertc.CheckpointError, match=reason):
        imported(supported, checkpoint_of(supported, tmp_path), "older", 14, "sdpa")


@pytest.mark.parametrize("name", ["DebertaModel", "DebertaV2Model"])
def test_distances_are_read_where_no_table_of_positions_says_how_far(name: str, tmp_path: Path) -> None:
    """As in all real models of the family: v3 has buckets, and the tables of v1 are cut to the text."""
    supported = next(each for each in supported_classes() if each.name == name)
    options = {"position_biased_input": False, "max_position_embeddings": 48}
    folder = save_checkpoint(tmp_path, name, num_hidden_layers=1, **options)
    found, expected = imported(supported, folder, "older", 14, "eager"), import_model(folder)
    assert_same_graph(found, expected)
    assert_same_numbers(found, expected, (4, 44))
    assert found.info.max_seq_length == expected.info.max_seq_length == 48


def checkpoint_of(supported: ModelClass, tmp_path: Path) -> Path:
    """Return the folder of a small checkpoint."""
    config: dict[str, Any] = {"num_hidden_layers": 1}
    if supported.family.spellings or "oberta" in supported.name:
        config["pad_token_id"] = 1
    return save_checkpoint(tmp_path, supported.name, **config)


def imported(supported: ModelClass, folder: Path, door: str, opset: int, attention: str) -> ImportedModel:
    """Return a checkpoint's model, through a door."""
    if door == "module":
        return import_module(getattr(transformers, supported.name).from_pretrained(folder).eval())
    newer, path = door == "newer", folder / "m.onnx"
    if not getattr(transformers, supported.name)._supports_sdpa:
        attention = "eager"
    opset = 18 if newer else opset
    export(folder, supported.name, path, opset=opset, dynamo=newer, attention=attention)
    return import_onnx(path)
