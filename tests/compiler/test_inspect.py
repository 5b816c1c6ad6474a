"""``bertc.inspect``: what compiling would make of a source is what it makes, and what is in a file."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

import bertc
from bertc.artifact.certificate import BudgetOutcome, Fallback
from bertc.artifact.reader import open_artifact
from bertc.artifact.writer import write_artifact
from bertc.errors import ArtifactError, InputError, RecipeError
from bertc.inspection.facts import Inspection
from tests.conftest import MakeArtifact
from tests.support.artifacts import RECIPES, Artifacts
from tests.support.hf_checkpoints import load_transformers, save_checkpoint
from tests.support.onnx_models import HIDDEN, OnnxBert

LAYER = "encoder.layer.0"


def program(found: Inspection) -> list[Any]:
    """What runs; a conversion is named after the value that it reads, changed by calibration or not."""
    return [
        (
            node.name.replace(".smooth.", "."),
            *(node.op, node.place, node.dtype, node.parameters, node.operations),
            [(value.dtype, value.shape) for value in node.outputs],
        )
        for node in found.nodes
    ]


@pytest.mark.parametrize("dtype", ["fp32", "bf16", "int8", "int7"])
@pytest.mark.parametrize("head", ["embedding", "classification"])
def test_what_compiling_would_make_is_what_it_makes(
    checkpoint: MakeArtifact, artifact: MakeArtifact, head: str, dtype: str
) -> None:
    planned = bertc.inspect(checkpoint(head), RECIPES.get(dtype, dtype), batch=3, length=7)
    compiled = bertc.inspect(artifact(head, dtype), batch=3, length=7)
    assert (planned.compiled, compiled.compiled) == (False, True)
    assert program(planned) == program(compiled)
    assert planned.parameters == compiled.parameters and planned.outputs == compiled.outputs
    assert planned.dtype == compiled.dtype == ("int8" if dtype == "int7" else dtype)
    dense = {node.name: node.dtype for node in compiled.nodes}[f"{LAYER}.output.dense"]
    assert dense == dtype


def test_a_bias_by_distance_is_inspected_in_a_file_too(artifacts: Artifacts) -> None:
    source = artifacts.derived("inspect-mpnet", lambda path: save_checkpoint(path, "MPNetModel"))
    compiled = bertc.inspect(artifacts.compile(source, "fp32"))
    assert any("distance_bias" in node.inputs for node in compiled.nodes)


def test_parameters_are_the_elements_of_the_checkpoint_s_tensors(checkpoint: MakeArtifact) -> None:
    tensors = load_file(checkpoint() / "model.safetensors")
    expected = sum(array.size for array in tensors.values())
    assert bertc.inspect(checkpoint(), dtype="int8").parameters == expected
    whole = bertc.inspect(checkpoint(), dtype="fp32")
    assert (whole.parameters, whole.bytes) == (expected, 4 * expected)


def test_operations_are_those_that_one_counts_by_hand(checkpoint: MakeArtifact) -> None:
    """Two layers of width 32 and 64 on two sequences of five tokens.

    Multiply-adds of a layer: 10 tokens x (4 x 32 x 32 + 2 x 32 x 64) = 81,920 in its matrices, and
    2 x 5 x 5 x 32 = 1,600 each for scores and mixed values: 85,120. The pooler has 2 x 32 x 32 = 2,048.
    """
    found = bertc.inspect(checkpoint(), batch=2, length=5)
    assert found.operations == 2 * (2 * 85_120 + 2_048) == 344_576
    assert found.operations_per_token == 34_457.6
    by_name = {node.name: node.operations for node in found.nodes}
    assert by_name[f"{LAYER}.attention.self"] == 2 * 2 * 1_600
    assert by_name[f"{LAYER}.attention.self.qkv"] == 2 * 10 * 32 * 96
    imported = {node.op for node in found.graphs["imported"].nodes}
    assert "add" in imported and found.graphs["fused"].stage == "fused"


def test_the_usual_length_is_no_longer_than_texts_are(artifacts: Artifacts) -> None:
    source = artifacts.tiny_checkpoint("embedding", max_seq_length=48)
    assert (bertc.inspect(source).batch, bertc.inspect(source).length) == (1, 48)
    assert bertc.inspect(source, length=64).length == 64


def test_a_recipe_says_what_each_node_would_compute_in_and_why(checkpoint: MakeArtifact) -> None:
    recipe = {
        "exclude": [f"{LAYER}.output.dense"],
        "nodes": {"*.intermediate.dense": "bf16"},
        "embeddings": "fp16",
        "activations": {"mode": "static"},
        "budget": {"max_drop": 0.01},
    }
    found = bertc.inspect(checkpoint("classification"), recipe)
    nodes = {node.name: (node.dtype, node.why) for node in found.nodes}
    assert nodes[f"{LAYER}.output.dense"] == ("fp32", f"exclude '{LAYER}.output.dense'")
    assert nodes[f"{LAYER}.intermediate.dense"] == ("bf16", "nodes '*.intermediate.dense'")
    assert nodes["embeddings"] == ("fp16", "embeddings")
    assert nodes["classifier"] == ("fp32", "it gives the logits")
    assert nodes[f"{LAYER}.attention.self.qkv"] == ("int8", "")
    outputs = {node.name: node.outputs[0].dtype for node in found.nodes}
    assert outputs[f"{LAYER}.attention.self"] == "u8"  # by a static scale
    assert len(found.notes) == 2 and "calibration" in found.notes[0] and "budget" in found.notes[1]
    assert not bertc.inspect(checkpoint("classification"), dtype="bf16").notes


def test_a_fallback_of_a_budget_is_told_as_the_reason(artifact: MakeArtifact, tmp_path: Path) -> None:
    file, name = open_artifact(artifact("classification", "int8")), f"{LAYER}.output.dense"
    budget = BudgetOutcome(
        metric="agreement",
        max_drop=0.1,
        drop=0.0,
        drop_before=0.2,
        met=True,
        trials=1,
        fallbacks=(Fallback(name=name, precision="bf16", instead_of="int8", slower=0.1),),
    )
    certificate = dataclasses.replace(file.certificate, budget=budget).to_json_value()
    manifest = dataclasses.replace(file.manifest, certificate=certificate)
    write_artifact(tmp_path / "b.bertc", manifest, file.tokenizer_json, file.executable.tensors)
    found = {node.name: node for node in bertc.inspect(tmp_path / "b.bertc").nodes}
    assert found[name].why == "fell back from int8 to hold the budget"
    assert found[name].dtype == "int8"  # what the program says, whatever a certificate does


@pytest.mark.parametrize("compiled", [False, True])
def test_times_are_those_of_what_the_task_needs(
    checkpoint: MakeArtifact, artifact: MakeArtifact, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bertc.compiler.inspect.SECONDS", 0.0)
    source = artifact("embedding", "int8") if compiled else checkpoint()
    found = bertc.inspect(source, batch=2, length=8, time=True, num_threads=2)
    assert found.measured is not None and found.measured.threads == 2
    for node in found.nodes:
        assert (node.share is None) == (node.milliseconds is None) == node.name.startswith("pooler"), (
            node.name
        )
    shares = sum(node.share for node in found.nodes if node.share is not None)
    assert shares + found.measured.idle == pytest.approx(1)
    times = sum(row.milliseconds for row in found.tree if row.milliseconds is not None)
    assert times == pytest.approx(shares * found.measured.milliseconds)


def test_an_onnx_file_is_inspected_like_a_checkpoint(tmp_path: Path) -> None:
    path = OnnxBert(layers=2).save(tmp_path / "tiny.onnx")
    with pytest.warns(UserWarning, match="no tokenizer"):
        found = bertc.inspect(path, dtype="fp32")
    assert found.tree[2].name == "encoder.layer.0 .. 1"
    assert found.outputs[0].shape == ("tokens", HIDDEN)
    assert any("imported from ONNX" in note for note in found.notes)


def test_a_node_that_can_run_nowhere_is_the_answer(tmp_path: Path) -> None:
    def drawn(bert: OnnxBert, x: str) -> dict[str, str]:
        return {"all": bert.op("Bernoulli", x)}

    path = OnnxBert(head=drawn).save(tmp_path / "tiny.onnx")
    (node,) = bertc.inspect(path).nowhere
    assert (node.op, node.place) == ("Bernoulli", "nowhere") and node.why.startswith("cannot run: no such")


@pytest.mark.filterwarnings("ignore:tiny has no tokenizer")
def test_a_node_for_the_host_says_why(tmp_path: Path) -> None:
    def cumulated(bert: OnnxBert, x: str) -> dict[str, str]:
        return {"all": bert.op("CumSum", x, bert.constant(1))}

    found = bertc.inspect(OnnxBert(head=cumulated).save(tmp_path / "tiny.onnx"))
    (node,) = found.on_host
    assert (node.place, node.dtype) == ("host", "fp32") and node.why


def test_modules_and_torchscript_are_inspected_like_their_checkpoint(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    save_checkpoint(tmp_path / "model", "BertModel")
    module, _ = load_transformers(tmp_path / "model", "BertModel")
    ids = torch.ones((2, 7), dtype=torch.long)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with torch.no_grad():
            traced = torch.jit.trace(module, (ids, ids), check_trace=False, strict=False)
        traced.save(str(tmp_path / "model.pt"))
        found = [
            bertc.inspect(source, dtype="bf16", allow_torchscript=True, tokenizer=tmp_path / "model")
            for source in (module, tmp_path / "model.pt")
        ]
        expected = bertc.inspect(tmp_path / "model", dtype="bf16")
        with pytest.raises(InputError, match="allow"):
            bertc.inspect(tmp_path / "model.pt")
    assert found[0].source == "BertModel"
    layers = [[row.parameters for row in each.tree if "layer.0" in row.name] for each in (*found, expected)]
    assert layers[0] == layers[1] == layers[2] != []


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"length": 65}, InputError, "length 65: the model has 64 positions"),
        ({"length": 0}, InputError, "length is 0"),
        ({"batch": True}, InputError, "batch is True"),
        ({"dtype": "int4"}, RecipeError, "int4"),
        ({"recipe": {"exclude": ["nothing"]}}, RecipeError, "matches no node"),
    ],
)
def test_wrong_arguments_are_told(
    checkpoint: MakeArtifact, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        bertc.inspect(checkpoint(), **options)


def _truncated(path: Path, whole: bytes) -> None:
    path.write_bytes(whole[: len(whole) // 2])


def _damaged(path: Path, whole: bytes) -> None:
    path.write_bytes(whole[:200] + b"~" + whole[201:])


def _absent(path: Path, _: bytes) -> None:
    path.unlink(missing_ok=True)


@pytest.mark.parametrize("harm", [_truncated, _damaged, _absent])
def test_a_damaged_file_is_refused(
    artifact: MakeArtifact, tmp_path: Path, harm: Callable[[Path, bytes], None]
) -> None:
    path = tmp_path / "harmed.bertc"
    harm(path, artifact().read_bytes())
    with pytest.raises(ArtifactError, match=r"harmed\.bertc"):
        bertc.inspect(path)


def test_what_is_compiled_takes_no_recipe(artifact: MakeArtifact) -> None:
    with pytest.raises(InputError, match="dtype is for a checkpoint"):
        bertc.inspect(artifact(), dtype="fp32")
