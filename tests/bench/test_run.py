"""Whole runs of the bench, with our own files: with several, each is in a process of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bertc.artifact.embedding_facts import EmbeddingFacts
from bertc.artifact.reader import open_artifact
from bertc.bench.peers import PEERS
from bertc.bench.peers.base import Peer
from bertc.bench.plan import Settings, check_work, plan
from bertc.bench.process import EngineError, EngineProcess, EngineSpec
from bertc.bench.run import run_bench
from bertc.bench.timing import Effort
from bertc.bench.versions import commit, versions
from bertc.bench.work import product_dtype
from bertc.errors import InputError, MissingExtraError
from bertc.runtime.machine import machine_facts, processor_name
from tests.conftest import MakeArtifact
from tests.support.answers import make_info
from tests.support.artifacts import Artifacts
from tests.support.hf_checkpoints import save_checkpoint

QUICK = Effort(warmup=0, repeats=3, seconds=0.0)
TEXTS = ("the cat", "a dog", "good film", "good movie", "one two", "one two three")


def settings(*files: Path, **changes: Any) -> Settings:
    quick: dict[str, Any] = {
        "threads": 1,
        "batches": (1, 2),
        "lengths": (4,),
        "effort": QUICK,
        "startup": False,
        "memory": False,
        "peaks": False,
    }
    return Settings(files=files, **{**quick, **changes})


def compiled(artifacts: Artifacts, class_name: str) -> Path:
    """Return the fp32 file of a tiny checkpoint of a class of transformers."""
    source = artifacts.derived(f"bench-{class_name}", lambda path: save_checkpoint(path, class_name))
    return artifacts.compile(source, "fp32")


@pytest.fixture
def sts(tmp_path: Path) -> Path:
    path = tmp_path / "sts.csv"
    pairs = zip(TEXTS[::2], TEXTS[1::2], strict=True)
    path.write_text("".join(f"g\tf\ty\t{i}\t{i}\t{a}\t{b}\n" for i, (a, b) in enumerate(pairs)))
    return path


def test_one_file_alone(artifact: MakeArtifact) -> None:
    said: list[str] = []
    report = run_bench(settings(artifact("classification"), texts=TEXTS), said.append)
    assert [(row["batch"], row["length"], row["engine"]) for row in report["shapes"]] == [
        (1, 4, "bertc fp32"),
        (2, 4, "bertc fp32"),
    ]
    assert [row["mode"] for row in report["texts"]] == ["sorted", "unsorted", "single", "one_call"]
    assert report["ratios"] == report["accuracy"] == [] and report["peaks"] is None
    assert json.loads(json.dumps(report))["settings"]["texts"] == len(TEXTS)
    assert "1 x 4" in said


def test_a_run_that_ends_early_leaves_what_it_has_measured(artifact: MakeArtifact) -> None:
    kept: list[dict[str, Any]] = []

    def interrupt(text: str) -> None:
        if text == "2 x 4":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_bench(settings(artifact(), texts=TEXTS), interrupt, kept.append)
    last = json.loads(json.dumps(kept[-1]))
    assert [(row["batch"], row["length"]) for row in last["shapes"]] == [(1, 4)]
    assert len(last["texts"]) == 4 and not last["complete"]

    said: list[str] = []
    report = json.loads(json.dumps(run_bench(settings(artifact(), texts=TEXTS), said.append, earlier=last)))
    assert report["complete"] and said.count("2 x 4") == 1 and "1 x 4" not in said
    assert report["texts"] == last["texts"]
    assert report["shapes"][0] == last["shapes"][0] and len(report["shapes"]) == 2
    with pytest.raises(InputError, match="the interrupted run had another setting: start a new one"):
        run_bench(settings(artifact()), earlier=last)


def test_processes_of_our_own_are_looked_at(artifact: MakeArtifact) -> None:
    report = run_bench(settings(artifact(), threads=2, startup=True, memory=True, scaling=True))
    assert report["startup_ms"]["bertc fp32"]["whole"] > 0
    assert [row["engine"] for row in report["memory"]] in (["bertc fp32"], [])
    assert report["scaling"][0]["length"] == 64  # the model has no more positions
    assert report["engines"][0]["file_mb"] > report["engines"][0]["matrix_mb"] > 0


def test_several_files_are_compared_and_scored_in_processes_of_their_own(
    artifact: MakeArtifact, sts: Path
) -> None:
    files = (artifact("embedding", "int8"), artifact("embedding", "fp32"))
    report = run_bench(settings(*files, texts=TEXTS, sts=sts, batches=(2,)))
    engines = ["bertc int8", "bertc fp32"]
    assert [engine["name"] for engine in report["engines"]] == engines
    assert all(engine["isa"] for engine in report["engines"])
    assert [row["engine"] for row in report["shapes"]] == engines
    assert len(report["texts"]) == 8
    scores = {row["engine"]: row for row in report["accuracy"]}
    assert scores["bertc fp32"]["worst_cosine"] == pytest.approx(1)
    assert 0.98 < scores["bertc int8"]["mean_cosine"] < 1


def test_files_of_one_dtype_are_told_apart(artifact: MakeArtifact, tmp_path: Path) -> None:
    copy = tmp_path / "seven-bit.bertc"
    copy.write_bytes(artifact().read_bytes())
    names = [spec.name for spec in plan(settings(artifact(), copy))]
    assert names == [f"bertc fp32 {artifact().stem}", "bertc fp32 seven-bit"]


def test_weights_bounded_in_fours_are_measured_by_their_own_limit(artifact: MakeArtifact) -> None:
    files = artifact("embedding", "int8"), artifact("embedding", "fours")
    specs = plan(settings(*files))
    assert [(spec.name, spec.dtype) for spec in specs] == [
        ("bertc int8", "int8"),
        ("bertc int8 fours", "int8 fours"),
    ]
    programs = [open_artifact(file).manifest.program for file in files]
    pooler = [next(s for s in program.steps if s.name == "pooler.dense") for program in programs]
    assert [product_dtype(step) for step in pooler] == ["int8", "int8 fours"]


def test_files_of_different_models_are_refused(artifact: MakeArtifact) -> None:
    with pytest.raises(InputError, match="different models"):
        plan(settings(artifact("embedding"), artifact("classification")))


def test_a_peer_that_does_not_exist_is_refused_with_the_nearest_name(artifact: MakeArtifact) -> None:
    with pytest.raises(InputError, match="did you mean 'onnxruntime'"):
        plan(settings(artifact(), against=("onnx-runtime",)))


def test_a_peer_that_is_not_installed_names_the_extra(
    artifact: MakeArtifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PEERS["openvino"], "packages", ("no_such_package",))
    with pytest.raises(MissingExtraError, match=r"no_such_package.*bertc\[bench\]"):
        plan(settings(artifact(), against=("openvino",)))


def test_peers_need_the_checkpoint(artifact: MakeArtifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PEERS["openvino"], "packages", ())
    with pytest.raises(InputError, match="checkpoint folder"):
        plan(settings(artifact(), against=("openvino",)))


def test_only_the_variants_that_are_asked_for_take_part(
    artifact: MakeArtifact, checkpoint: MakeArtifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    for peer in PEERS.values():
        monkeypatch.setattr(peer, "packages", ())
    chosen = settings(artifact(), against=tuple(PEERS), checkpoint=checkpoint(), dtypes=("int8",))
    assert [spec.name for spec in plan(chosen)[1:]] == [
        "onnxruntime int8",
        "openvino int8",
        "ctranslate2 int8",
    ]


def test_a_peer_that_fails_is_left_out_and_named(
    artifact: MakeArtifact, checkpoint: MakeArtifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other process finds no peer of this name: as good a failure as any."""
    monkeypatch.setitem(PEERS, "abacus", Abacus)
    report = run_bench(settings(artifact(), against=("abacus",), checkpoint=checkpoint(), batches=(1,)))
    assert [engine["name"] for engine in report["engines"]] == ["bertc fp32"]
    assert report["failed"] == {"abacus int8": "abacus int8: KeyError: 'abacus'"}


class Abacus(Peer):
    library = "abacus"
    packages = ()
    dtypes = ("int8",)


def test_our_own_failure_is_an_error(tmp_path: Path) -> None:
    spec = EngineSpec("bertc", "int8", "bertc int8", tmp_path / "none.bertc", None, tmp_path, (), 1)
    with pytest.raises(EngineError, match=r"bertc int8: .*none\.bertc") as caught:
        EngineProcess(spec, [])
    assert caught.value.spec is spec


@pytest.mark.parametrize("class_name", [f"BertFor{task}" for task in ("QuestionAnswering", "MultipleChoice")])
def test_a_model_of_pairs_is_measured_on_shapes_alone(artifacts: Artifacts, class_name: str) -> None:
    path = compiled(artifacts, class_name)
    assert [row["batch"] for row in run_bench(settings(path))["shapes"]] == [1, 2]
    with pytest.raises(InputError, match="about pairs: leave --input out"):
        plan(settings(path, texts=TEXTS))


@pytest.mark.parametrize("class_name", ["BertForMaskedLM", "BertForPreTraining"])
def test_a_model_that_fills_masks_is_measured_with_one_in_each_sequence(
    artifacts: Artifacts, class_name: str
) -> None:
    path = compiled(artifacts, class_name)
    texts = ("the [MASK]", "a [MASK] film")
    report = run_bench(settings(path, texts=texts, startup=True, memory=True, batches=(2,)))
    assert report["startup_ms"]["bertc fp32"]["total"] > 0
    assert len(report["shapes"]) == 1 and len(report["texts"]) == 4
    with pytest.raises(EngineError, match=r"has no mask: write \[MASK\]"):
        run_bench(settings(path, texts=TEXTS))


def test_what_cannot_be_compared_or_scored_is_refused_before_anything_runs(
    artifact: MakeArtifact, sts: Path
) -> None:
    with pytest.raises(InputError, match="classification: --sts scores embeddings"):
        run_bench(settings(artifact("classification"), sts=sts))
    with pytest.raises(InputError, match=r"masked_lm: peers are compared on .*leave --against out"):
        check_work(settings(Path("tiny.bertc"), against=("openvino",)), make_info("masked_lm"))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"facts": {"modules": "pooling -> dense"}}, "the modules of tiny, pooling -> dense"),
        ({"embedding": EmbeddingFacts(truncate_dim=4)}, "truncate_dim, which peers do not know"),
        ({"embedding": EmbeddingFacts(max_lengths={"": 8})}, "max_lengths, which peers do not know"),
    ],
)
def test_peers_are_not_compared_with_what_they_do_not_do(changes: dict[str, Any], match: str) -> None:
    chosen = settings(Path("tiny.bertc"), against=("openvino",), texts=TEXTS)
    with pytest.raises(InputError, match=match):
        check_work(chosen, make_info("embedding", **changes))
    check_work(chosen, make_info("embedding"))


def test_too_long_a_shape_is_refused_before_anything_runs(artifact: MakeArtifact) -> None:
    with pytest.raises(InputError, match="64 positions"):
        run_bench(settings(artifact(), lengths=(4, 65)))


def test_the_machine_is_described() -> None:
    facts = machine_facts()
    assert facts["cores"] >= 1 and facts["isas"] and facts["processor"] == processor_name() != ""
    assert {"python", "bertc", "numpy"} <= set(versions())
    assert commit() is None or len(str(commit()).rstrip("+")) >= 7
