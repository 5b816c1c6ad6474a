"""A model with one layer that 8 bits ruin: the budget names it, gives it more bits, and no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

import bertc
from bertc.artifact.certificate import BudgetOutcome
from bertc.compiler import run_pipeline
from bertc.recipe import Budget, Recipe
from bertc.runtime import progress
from tests.support.tiny_models import make_bert_checkpoint, write_weights

pytestmark = pytest.mark.native

BAD = "encoder.layer.1.intermediate.dense"
PLAIN = "round-to-nearest"


def spoiled_checkpoint(path: Path, head: str = "embedding", **config: Any) -> Path:
    """A channel that is always zero meets enormous weights: nothing in fp32, ruin for the scale of a row."""
    make_bert_checkpoint(path, head, pooling="mean" if head == "embedding" else None, **config)
    tensors = load_file(path / "model.safetensors")
    prefix = "" if head == "embedding" else "bert."
    norm = f"{prefix}encoder.layer.1.attention.output.LayerNorm"
    tensors[f"{norm}.weight"][5] = tensors[f"{norm}.bias"][5] = 0
    tensors[f"{prefix}{BAD}.weight"][:, 5] = 1000
    write_weights(path, tensors)
    return path


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return spoiled_checkpoint(tmp_path_factory.mktemp("spoiled"))


def budget_of(artifact: bertc.Artifact) -> BudgetOutcome:
    budget = artifact.certificate.budget
    assert budget is not None
    return budget


def test_without_a_budget_the_layer_ruins_the_model(spoiled: Path, tmp_path: Path) -> None:
    certificate = bertc.compile(spoiled, tmp_path / "x.bertc", PLAIN).certificate
    layers = {layer.name: layer.sqnr_db for layer in certificate.layers}
    assert (
        certificate.budget is None and layers[BAD] < 3 < 20 < layers["encoder.layer.1.attention.output.dense"]
    )
    assert certificate.vectors["sentence_embedding"].mean_cosine < 0.98


def test_only_the_bad_layer_falls_back(spoiled: Path, tmp_path: Path) -> None:
    artifact = bertc.compile(spoiled, tmp_path / "x.bertc", PLAIN, max_drop="1%")
    budget = budget_of(artifact)
    assert budget.met and budget.metric == "cosine" and budget.max_drop == 0.01
    assert budget.drop <= 0.01 < budget.drop_before
    assert [(fallback.name, fallback.precision) for fallback in budget.fallbacks] == [(BAD, "bf16")]
    assert artifact.certificate.vectors["sentence_embedding"].mean_cosine == pytest.approx(1 - budget.drop)
    kinds = {layer.name: layer.precision for layer in artifact.certificate.layers}
    assert kinds[BAD] == "bf16" and kinds["encoder.layer.0.intermediate.dense"] == "int8"
    assert artifact.manifest.recipe["budget"]["max_drop"] == 0.01


def test_sensitivity_names_the_bad_layer(spoiled: Path, tmp_path: Path) -> None:
    effects = budget_of(bertc.compile(spoiled, tmp_path / "x.bertc", PLAIN, max_drop=0.01)).sensitivity
    by_loss = sorted(effects, key=lambda effect: -effect.loss)
    assert by_loss[0].name == BAD and by_loss[0].loss > 10 * by_loss[1].loss
    assert min(effects, key=lambda effect: effect.sqnr_db).name == BAD


def test_agreement_of_labels_is_held_too(tmp_path: Path) -> None:
    source = spoiled_checkpoint(tmp_path / "model", "token_classification")
    budget = budget_of(bertc.compile(source, tmp_path / "x.bertc", PLAIN, max_drop="3%"))
    assert budget.metric == "top1_agreement" and budget.met
    assert budget.drop <= 0.03 < budget.drop_before
    assert BAD in {fallback.name for fallback in budget.fallbacks}


def test_correlation_of_a_regression_is_held(tmp_path: Path) -> None:
    """Its one number has no label that could stay the same while the number is far off."""
    options = {"problem_type": "regression", "id2label": {"0": "score"}}
    source = spoiled_checkpoint(tmp_path / "model", "classification", **options)
    plain = bertc.compile(source, tmp_path / "plain.bertc", PLAIN).certificate
    assert plain.logits is None and plain.values is not None and plain.worst_by == "difference"
    assert plain.values.correlation < 0.98 and plain.worst[0].value == plain.values.largest_difference
    assert plain.summary.startswith("correlation with fp32: 0.")
    artifact = bertc.compile(source, tmp_path / "x.bertc", PLAIN, max_drop="2%")
    budget, values = budget_of(artifact), artifact.certificate.values
    assert budget.metric == "correlation" and budget.met and BAD in {each.name for each in budget.fallbacks}
    assert values is not None and values.correlation >= 0.98 and values.rows == 128


def test_too_few_answers_for_a_budget_are_noted(checkpoint: Any, tmp_path: Path) -> None:
    output, source = tmp_path / "x.bertc", checkpoint("classification")
    few = bertc.compile(source, output, {"calibration": {"held_out": 9}}, max_drop="1%").certificate
    assert any("9 answers" in note and "steps of 11 %" in note for note in few.notes)
    assert not bertc.compile(source, output, max_drop="1%").certificate.notes


def test_a_budget_that_holds_is_noted_and_costs_nothing(checkpoint: Any, tmp_path: Path) -> None:
    budget = budget_of(bertc.compile(checkpoint(), tmp_path / "x.bertc", max_drop=0.5))
    assert budget.met and budget.trials == 1 and not budget.fallbacks and not budget.sensitivity


def test_a_budget_of_zero_ends_in_fp32(checkpoint: Any, tmp_path: Path) -> None:
    artifact = bertc.compile(checkpoint(), tmp_path / "x.bertc", max_drop=0)
    assert budget_of(artifact).met
    # The pooler is not part of the answer, and without bf16 instructions attention is exact as it is.
    needed = {
        layer.name: layer.precision
        for layer in artifact.certificate.layers
        if layer.name != "pooler.dense" and layer.op != "attention"
    }
    assert set(needed.values()) == {"fp32"}


def write_samples(path: Path, labels: list[int]) -> Path:
    words = ("cat", "dog", "good movie", "bad film", "london", "paris", "two cars")
    rows = [f"{label}\tthe {words[i % len(words)]} {i}" for i, label in enumerate(labels)]
    path.write_text("label\tsentence\n" + "\n".join(rows) + "\n")
    return path


def test_a_task_is_scored_for_both_models(checkpoint: Any, tmp_path: Path) -> None:
    data = write_samples(tmp_path / "dev.tsv", [0, 1] * 10)
    task = bertc.compile(checkpoint("classification"), tmp_path / "x.bertc", eval_data=data).certificate.task
    assert task is not None and task.evaluator == "classification" and task.data == "dev.tsv"
    assert task.counts["samples"] == 20 and task.counts["tokens"] > 80
    assert set(task.fp32) == set(task.compiled) >= {"accuracy", "f1"}
    assert 0 <= task.compiled["accuracy"] <= 100


def test_the_metric_of_a_task_is_held(tmp_path: Path) -> None:
    """Labels are what the fp32 model says, so that its accuracy is 100."""
    source = spoiled_checkpoint(tmp_path / "model", "classification")
    data = write_samples(tmp_path / "dev.tsv", [0] * 60)
    exact = bertc.load(bertc.compile(source, tmp_path / "fp32.bertc", dtype="fp32").path)
    texts = [line.split("\t")[1] for line in data.read_text().splitlines()[1:]]
    answers = exact.classify(texts)
    write_samples(data, [exact.info.labels.index(answer["label"]) for answer in answers])  # type: ignore[index, call-overload]
    artifact = bertc.compile(source, tmp_path / "x.bertc", PLAIN, max_drop=0, eval_data=data)
    budget, task = budget_of(artifact), artifact.certificate.task
    assert budget.metric == "accuracy" and budget.met and budget.drop_before > 0 == budget.drop
    assert task is not None and task.fp32["accuracy"] == task.compiled["accuracy"] == 100


@pytest.mark.parametrize(
    ("head", "budget", "message"),
    [
        ("embedding", {"metric": "accuracy", "eval_data": "x"}, "use cosine, or with eval_data spearman"),
        ("classification", {"metric": "cosine"}, "use top1_agreement"),
        ("classification", {"metric": "accuracy"}, "needs budget.eval_data"),
    ],
)
def test_a_metric_that_does_not_fit_is_refused(
    checkpoint: Any, tmp_path: Path, head: str, budget: dict[str, str], message: str
) -> None:
    with pytest.raises(bertc.RecipeError, match=message):
        bertc.compile(checkpoint(head), tmp_path / "x.bertc", {"budget": budget})
    assert not list(tmp_path.iterdir())


def test_data_that_is_absent_is_a_clear_error(checkpoint: Any, tmp_path: Path) -> None:
    with pytest.raises(bertc.InputError, match="cannot read"):
        bertc.compile(checkpoint(), tmp_path / "x.bertc", eval_data=tmp_path / "none.csv")


def test_a_budget_that_cannot_be_kept_writes_nothing_unless_asked(
    checkpoint: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bertc.quantize.budget.SLACK", -0.5)
    output = tmp_path / "x.bertc"
    with pytest.raises(bertc.BudgetError, match=r"cosine drops by .* % at best, 0\.1 % is allowed"):
        bertc.compile(checkpoint(), output, max_drop=0.001)
    assert not list(tmp_path.iterdir())
    with pytest.warns(UserWarning, match="cannot be kept"):
        artifact = bertc.compile(checkpoint(), output, max_drop=0.001, allow_over_budget=True)
    assert not budget_of(artifact).met and output.exists()


def test_steps_are_reported(
    checkpoint: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    run_pipeline(checkpoint(), tmp_path / "x.bertc", Recipe(budget=Budget(max_drop=0)), show_progress=True)
    err = capsys.readouterr().err
    assert "measuring each node: " in err and "trying fallbacks: " in err
    assert "quantizing (layers): 9 of 9 in" in err
