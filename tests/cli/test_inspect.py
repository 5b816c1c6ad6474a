"""``bertc inspect``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import bertc
from tests.cli.conftest import Run
from tests.conftest import MakeArtifact
from tests.support.onnx_models import OnnxBert

KEYS = """source compiled model architecture task dtype batch length parameters bytes operations
operations_per_token measured inputs outputs nodes tree notes"""
"""The keys of the JSON: docs/inspect.md promises them."""
NODE_KEYS = "name op place dtype why inputs outputs attributes parameters bytes operations milliseconds share"
ROW_KEYS = """name count op place dtype why output parameters bytes operations milliseconds share
nodes children"""


def test_json_is_the_tree_that_python_has(run: Run, artifact: MakeArtifact) -> None:
    facts = run.json("inspect", artifact("embedding", "int8"), "--batch", "2", "--length", "9")
    found = bertc.inspect(artifact("embedding", "int8"), batch=2, length=9)
    assert facts == json.loads(json.dumps(found.to_json_value()))
    assert list(facts) == KEYS.split()
    assert all(list(node) == NODE_KEYS.split() for node in facts["nodes"])
    assert all(list(row) == ROW_KEYS.split() for row in facts["tree"])


def test_people_get_tables(run: Run, checkpoint: MakeArtifact) -> None:
    outcome = run("inspect", checkpoint("classification"), "--recipe", "avx2")
    assert (outcome.code, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    layers = next(line for line in lines if "encoder.layer.0 .. 1 (2x)" in line)
    assert "native" in layers and "int7" in layers
    assert any("self.qkv" in line and "linear_int8" in line for line in lines)
    assert "it gives the logits" in outcome.out and "Note: scales" in outcome.out


def test_times_are_measured_on_request(
    run: Run, artifact: MakeArtifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bertc.compiler.inspect.SECONDS", 0.0)
    outcome = run("inspect", artifact("embedding", "bf16"), "--time", "--threads", "1", "--length", "8")
    assert "% of time" in outcome.out and "1 threads" in outcome.out


@pytest.mark.parametrize("stage", [None, "imported", "fused", "typed"])
def test_the_graph_of_a_stage_is_written_for_netron(
    run: Run, checkpoint: MakeArtifact, tmp_path: Path, stage: str | None
) -> None:
    onnx = pytest.importorskip("onnx")
    path = tmp_path / "graph.onnx"
    chosen = [] if stage is None else ["--stage", stage]
    assert run("inspect", checkpoint(), "--onnx", path, *chosen).code == 0
    ops = {node.op_type for node in onnx.load(path).graph.node}
    assert ("add" in ops, "linear_int8" in ops) == (stage == "imported", stage in (None, "typed"))
    small = path.stat().st_size
    assert run("inspect", checkpoint(), "--onnx", path, *chosen, "--weights").code == 0
    assert path.stat().st_size > 2 * small


def test_the_page_is_written(run: Run, artifact: MakeArtifact, tmp_path: Path) -> None:
    outcome = run("inspect", artifact(), "--html", tmp_path / "page.html")
    assert outcome.code == 0
    assert (tmp_path / "page.html").read_text("utf-8").startswith("<!doctype html>")


def test_strict_accepts_what_runs_natively(run: Run, checkpoint: MakeArtifact) -> None:
    assert run("inspect", checkpoint(), "--strict").code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent.bertc"], "cannot open absent.bertc"),
        (["./absent"], "there is no folder 'absent'"),
        (["absent.onnx"], "absent.onnx"),
        (["absent.pt"], "there is no file 'absent.pt'"),
        (["{file}", "--stage", "fused", "--onnx", "g.onnx"], "only typed is left"),
        (["{file}", "--recipe", "avx2"], "recipe is for a checkpoint"),
        (["{file}", "--html", "absent/page.html"], "does not exist"),
        (["{file}", "--length", "999"], "64 positions"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    run: Run,
    artifact: MakeArtifact,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    pytest.importorskip("onnx")
    monkeypatch.chdir(tmp_path)
    outcome = run("inspect", *(each.format(file=artifact()) for each in arguments))
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (1, "", 1)
    assert message in outcome.err
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("option", ["--html", "--onnx"])
def test_the_source_is_not_overwritten(run: Run, tmp_path: Path, option: str) -> None:
    path = OnnxBert().save(tmp_path / "tiny.onnx")
    before = path.read_bytes()
    outcome = run("inspect", path, option, path)
    assert (outcome.code, outcome.err.count("\n")) == (1, 1) and "is the source" in outcome.err
    assert path.read_bytes() == before


@pytest.mark.parametrize("option", [["--stage", "fused"], ["--weights"]])
def test_options_of_the_onnx_file_need_one(run: Run, checkpoint: MakeArtifact, option: list[str]) -> None:
    outcome = run("inspect", checkpoint(), *option)
    assert outcome.code == 2 and option[0] in outcome.err


def test_nodes_that_can_run_nowhere_are_rows(run: Run, tmp_path: Path) -> None:
    def drawn(bert: OnnxBert, x: str) -> dict[str, str]:
        return {"all": bert.op("Bernoulli", bert.op("Own", x, domain="my.ops"))}

    path = OnnxBert(head=drawn).save(tmp_path / "tiny.onnx")
    written = ("--html", tmp_path / "page.html", "--onnx", tmp_path / "graph.onnx")
    outcome = run("inspect", path, *written)
    assert (outcome.code, outcome.err.count("\n")) == (1, 1)
    assert "my.ops.Own" in outcome.err and [*tmp_path.iterdir()] == [path]
    for told in ("Bernoulli", "nowhere", "cannot run", "Note: "):
        assert told in outcome.out


@pytest.mark.filterwarnings("ignore:tiny has no tokenizer")
def test_strict_refuses_what_would_run_on_the_host(run: Run, tmp_path: Path) -> None:
    def cumulated(bert: OnnxBert, x: str) -> dict[str, str]:
        return {"all": bert.op("CumSum", x, bert.constant(1))}

    path = OnnxBert(head=cumulated).save(tmp_path / "tiny.onnx")
    assert run("inspect", path).code == 0
    outcome = run("inspect", path, "--strict", "--json", "--html", tmp_path / "page.html")
    assert [*tmp_path.iterdir()] == [path]
    assert [node["place"] for node in json.loads(outcome.out)["nodes"]].count("host") == 1
    assert (outcome.code, outcome.err.count("\n")) == (1, 1)
    assert "strict refuses nodes that run on the host" in outcome.err and "CumSum" in outcome.err
