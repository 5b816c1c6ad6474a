"""``bertc recipe``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from bertc.cli.main import app
from bertc.recipe import Recipe
from bertc.recipe.presets import PRESETS
from tests.cli.conftest import Run
from tests.support.tiny_models import make_bert_checkpoint

pytest.importorskip("yaml")


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(app, ["recipe", *map(str, arguments)])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bert_checkpoint(tmp_path_factory.mktemp("tiny"), "classification")


def test_init_writes_what_check_accepts(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    assert run("init", "--preset", "vendor-static", "-o", path).exit_code == 0
    assert Recipe.load(path) == Recipe.load("vendor-static")
    result = run("check", path)
    assert (result.exit_code, result.stdout) == (0, f"{path}: valid\n")
    result = run("init", "-o", path)
    assert result.exit_code == 2 and Recipe.load(path) != Recipe()
    assert Recipe.from_yaml(run("init").stdout) == Recipe()


def test_init_writes_json_where_the_name_says_so(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    assert run("init", "--profile", "avx2", "-o", path).exit_code == 0  # the former name of --preset
    assert Recipe.from_json(path.read_text()) == Recipe.load("avx2")
    assert run("check", path).exit_code == 0


def test_init_writes_no_file_that_check_would_not_read(tmp_path: Path) -> None:
    result = run("init", "-o", tmp_path / "r.toml")
    assert result.exit_code == 2 and not list(tmp_path.iterdir())


def test_init_tells_the_presets() -> None:
    assert all(name in run("init", "--preset", "list").stdout for name in PRESETS)
    result = run("init", "--preset", "vendor")
    assert result.exit_code == 2 and "vendor-static" in result.output


def test_check_tells_every_problem_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("dtype: int4\n\nweights:\n  bitz: 8\n")
    result = run("check", path)
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        f"{path}:1: dtype is 'int4', expected one of fp32, bf16, int8",
        f"{path}:4: unknown key 'weights.bitz', did you mean 'weights.bits'?",
    ]
    facts = json.loads(run("check", path, "--json").stdout)
    assert [(each["line"], each["key"]) for each in facts["problems"]] == [(1, "dtype"), (4, "weights.bitz")]


def test_check_with_a_model_looks_at_its_nodes(tmp_path: Path, model: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(
        "task: embedding\nexclude:\n- 'poler.*'\nnodes:\n  emb: int8\nbudget:\n  metric: spearman\n"
    )
    assert run("check", path).exit_code == 0
    result = run("check", path, "--model", model)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert [line.removeprefix(f"{path}:")[:2] for line in lines] == ["1:", "2:", "5:", "7:"]
    assert "task is embedding, the model" in lines[0]
    assert "exclude 'poler.*' matches no node, the nearest is 'pooler.dense'" in lines[1]
    assert run("check", "bf16", "--model", model).exit_code == 0


def test_explain_tells_decisions_and_layers(model: Path) -> None:
    result = run("explain", "vendor-static")
    assert result.exit_code == 0
    assert "activations.granularity: per_tensor" in result.stdout and "Elsewhere: " in result.stdout
    facts = json.loads(run("explain", "default", "--model", model, "--json").stdout)
    assert {"layers": "classifier", "nodes": 1, "precision": "fp32", "because_of": "it gives the logits"} in (
        facts["layers"]
    )
    layers = {row["layers"]: row["nodes"] for row in facts["layers"]}
    assert layers["encoder.layer.*.attention.self.qkv"] == 2
    assert "encoder.layer.*.output.dense" in run("explain", "default", "--model", model).stdout


def test_compile_takes_the_source_of_the_recipe(tmp_path: Path, model: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps({"source": str(model), "task": "classification", "dtype": "fp32"}))
    arguments = ["compile", "-o", str(tmp_path / "x.bertc")]
    result = CliRunner().invoke(app, [*arguments, "--recipe", str(path), "--json"])
    assert json.loads(result.stdout)["dtype"] == "fp32"
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2 and "name a model" in result.output
    result = CliRunner().invoke(app, [*arguments, "--recipe", "fp32"])
    assert "no model: name a folder" in str(result.exception)


VAMC = """
frontend: {checkpoint: ner.torchscript.pt, type: pytorch, shape: {input_ids: [1, 256]}}
dataset: {path: calib, sampler: {get_data_num: 10}}
backend:
  dtype: int8
  quantize: {calibrate_mode: percentile, calibrate_range: 0.9999}
"""


def test_import_writes_a_recipe_and_tells_what_it_left_out(run: Run, tmp_path: Path) -> None:
    source, output = tmp_path / "vamc.yaml", tmp_path / "recipe.yaml"
    source.write_text(VAMC)
    outcome = run("recipe", "import", source, "-o", output)
    assert outcome.code == 0 and outcome.out == ""
    assert "vamc.yaml: no meaning here: frontend.shape (input_ids): a file takes any batch" in outcome.err
    recipe = Recipe.load(output)
    assert recipe.source == "ner.torchscript.pt" and recipe.calibration.samples == 10
    assert recipe.activations.observer is not None and recipe.activations.observer.percentile == 99.99
    assert "# No meaning here: frontend.type: " in output.read_text()
    assert Recipe.from_yaml(run("recipe", "import", source).out) == recipe
    values = run.json("recipe", "import", source)
    assert Recipe.from_dict(values["recipe"]) == recipe and len(values["no_meaning"]) == 2
    again = run("recipe", "import", source, "-o", output)
    assert again.code == 2 and "exists already" in again.err


def test_import_names_the_lines_of_what_is_wrong(run: Run, tmp_path: Path) -> None:
    source = tmp_path / "vamc.yaml"
    source.write_text(VAMC.replace("quantize:", "quantise:"))
    outcome = run("recipe", "import", source)
    assert outcome.code == 1 and outcome.out == ""
    assert "line 6: unknown key 'backend.quantise', did you mean 'backend.quantize'?" in outcome.err
