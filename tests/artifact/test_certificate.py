"""A certificate in the manifest: what is written is read back, and nothing that is read can crash."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bertc.artifact.certificate import (
    Agreement,
    BudgetOutcome,
    Certificate,
    DataFacts,
    EdgeRange,
    Fallback,
    LayerFidelity,
    LogitFidelity,
    Sensitivity,
    TaskScores,
    ValueFidelity,
    VectorFidelity,
    WorstSample,
)
from bertc.artifact.reader import open_artifact
from bertc.errors import ArtifactError
from tests.conftest import MakeArtifact

DATA = DataFacts(name="texts", sha256="ab", samples=2, tokens=9, truncated=0, seed=3)
FULL = Certificate(
    output="logits",
    reference="fp32",
    reference_db=120.0,
    isa="avx2",
    processor="a <b> c",
    data=DATA,
    vectors={"pooler_output": VectorFidelity(rows=2, mean_cosine=0.999, worst_cosine=0.99)},
    logits=LogitFidelity(rows=3, same_decisions=2, mean_kl=0.1, worst_kl=0.2, largest_difference=0.5),
    values=ValueFidelity(rows=3, correlation=0.9, mean_difference=0.1, largest_difference=0.3),
    layers=(LayerFidelity(name="dense", op="linear", precision="int8", sqnr_db=30.5),),
    worst=(WorstSample(text="bad", tokens=3, value=0.2),),
    agreement=Agreement(what="logits", expected=(0.5, 1.0), found=(0.25, 1.0)),
    task=TaskScores(
        evaluator="ner",
        data="t",
        sha256="cd",
        counts={"samples": 2},
        fp32={"f1": 60.0},
        compiled={"f1": 59.0},
    ),
    calibration=DATA,
    edges=(
        EdgeRange(
            name="x",
            low=-1.0,
            high=2.0,
            low_before=-60.0,
            high_before=9.0,
            migration=0.5,
            largest_shift=60.0,
            gain_db=6.5,
            clip_low=-0.5,
            clip_high=1.5,
            counts=(1, 2),
        ),
    ),
    methods={"smoothing": {"alpha": 0.5}, "list": [1, "a"]},
    budget=BudgetOutcome(
        metric="cosine",
        max_drop=0.001,
        drop_before=0.01,
        drop=0.0005,
        met=True,
        trials=3,
        fallbacks=(Fallback(name="dense", precision="bf16", instead_of="int8", slower=0.01),),
        sensitivity=(Sensitivity(name="dense", precision="int8", loss=0.01, sqnr_db=20.0),),
    ),
    notes=("only 2 samples",),
)


def reread(value: Any) -> Certificate:
    return Certificate.from_json_value(json.loads(json.dumps(value)))


def test_what_is_written_is_read_back() -> None:
    assert reread(FULL.to_json_value()) == FULL


def test_what_is_optional_may_be_left_out() -> None:
    value = FULL.to_json_value()
    for key in ("logits", "task", "calibration", "budget", "agreement", "notes", "edges"):
        del value[key]
    assert reread(value).task is None


def test_keys_of_a_newer_version_are_left_out() -> None:
    assert reread({**FULL.to_json_value(), "more": 1}) == FULL


@pytest.mark.parametrize("value", [None, [], "x", 3, {}, {"version": 1}])
def test_no_certificate_is_a_clear_error(value: Any) -> None:
    with pytest.raises(ArtifactError, match=r"manifest\.certificate"):
        Certificate.from_json_value(value)


def test_a_newer_version_says_to_update() -> None:
    with pytest.raises(ArtifactError, match="update bertc"):
        reread({"version": 2})


@pytest.mark.parametrize(
    "hostile", [None, -1, 10**30, 0.5, float("nan"), float("-inf"), "x", [], {}, [[]], True]
)
def test_any_value_in_any_place_is_read_or_refused(hostile: Any) -> None:
    def replaced(value: Any) -> Any:
        """All copies of ``value`` with one thing in it replaced."""
        yield hostile
        items = (
            value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        )
        for key, item in list(items):
            for other in replaced(item):
                copy = value.copy()
                copy[key] = other
                yield copy

    for value in replaced(FULL.to_json_value()):
        try:
            certificate = reread(value)
        except ArtifactError as error:
            assert "manifest.certificate" in str(error)
        else:
            json.dumps(certificate.to_json_value())
            assert certificate.summary


def test_numbers_that_are_none_are_refused() -> None:
    value = FULL.to_json_value()
    value["layers"][0]["sqnr_db"] = float("nan")
    with pytest.raises(ArtifactError, match=r"manifest\.certificate\.layers\[0\]\.sqnr_db is nan"):
        reread(value)


def test_nesting_without_end_is_refused() -> None:
    deep: Any = 0
    for _ in range(5000):
        deep = [deep]
    certificate = Certificate.from_json_value({**FULL.to_json_value(), "methods": {"deep": deep}})
    with pytest.raises(ArtifactError, match="nested too deeply"):
        certificate.to_json_value()


def test_a_file_gives_its_certificate_on_request(artifact: MakeArtifact) -> None:
    opened = open_artifact(artifact("classification", "int8"))
    certificate = opened.certificate
    assert certificate.output == "logits" and certificate.logits is not None
    assert certificate.logits.rows == certificate.data.samples > 0
    assert certificate.summary.startswith("same as fp32: ")


def test_a_damaged_certificate_names_the_file(artifact: MakeArtifact) -> None:
    opened = open_artifact(artifact())
    opened.manifest.certificate["data"]["samples"] = "many"
    with pytest.raises(
        ArtifactError, match=r"fp32\.bertc: manifest\.certificate\.data\.samples has the wrong"
    ):
        _ = opened.certificate
