"""Every class that compiles from its checkpoint comes through the other doors as the same model.

By PyTorch's older exporter in each run of the tests; ``--door=newer`` and ``--door=module`` try the others.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import bertc
from bertc.frontends.huggingface import import_model
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
ON_THE_HOST = ("deberta", "deberta-v2")
"""Families whose attention no rule raises: it runs on the host."""
UNTRIED = ("ibert", "luke", "esmc", "xmod", "longformer", "big_bird", "squeezebert")
"""Families that differ from others in names, or in what no rule looks for."""
CLASSES = tuple(
    each
    for each in supported_classes()
    if each.name not in (*REFUSED, *OF_TOKENS)
    and each.model_type not in (*ON_THE_HOST, *UNTRIED)
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
    if door == "module":
        folder = checkpoint_of(supported, tmp_path)
        module = getattr(transformers, supported.name).from_pretrained(folder).eval()
        found = import_module(module)
    else:
        opset = opset if door == "older" else 18
        folder, path = exported(supported, tmp_path, opset, attention, dynamo=door == "newer")
        found = import_onnx(path)
    expected = import_model(folder)
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
        import_onnx(exported(supported, tmp_path, 14, "sdpa")[1])


@pytest.mark.filterwarnings("ignore:.*run on the host")
@pytest.mark.parametrize("name", ["DebertaModel", "DebertaV2ForSequenceClassification"])
def test_attention_that_no_rule_raises_runs_on_the_host(name: str, tmp_path: Path) -> None:
    supported = next(each for each in supported_classes() if each.name == name)
    folder, path = exported(supported, tmp_path, 17, "eager")
    found = import_onnx(path)
    assert "host" in {node.op for node in found.graph.nodes}
    assert_same_numbers(found, import_model(folder))


def checkpoint_of(supported: ModelClass, tmp_path: Path) -> Path:
    """Return the folder of a small checkpoint."""
    config: dict[str, Any] = {"num_hidden_layers": 1}
    if supported.family.spellings or "oberta" in supported.name:
        config["pad_token_id"] = 1
    return save_checkpoint(tmp_path, supported.name, **config)


def exported(
    supported: ModelClass, tmp_path: Path, opset: int, attention: str, *, dynamo: bool = False
) -> tuple[Path, Path]:
    """Return the folder of a small checkpoint, and its export."""
    folder = checkpoint_of(supported, tmp_path)
    if not getattr(transformers, supported.name)._supports_sdpa:
        attention = "eager"
    path = folder / "m.onnx"
    export(folder, supported.name, path, opset=opset, dynamo=dynamo, attention=attention)
    return folder, path
