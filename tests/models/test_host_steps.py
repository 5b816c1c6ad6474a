"""A compiled file with steps on the host: its numbers, the same bits in any batch, and who tells of it."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import bertc
from bertc.artifact.executable import Executable
from bertc.artifact.reader import open_artifact
from bertc.cli.main import app
from bertc.errors import ArtifactError, CheckpointError, InputError
from bertc.ir import interpreter
from bertc.lowering.lift import lift
from bertc.ports import Port
from bertc.runtime.batching import PackedBatch
from bertc.runtime.segments import SegmentedSession
from bertc.runtime.session import Session
from tests.support import onnx_models as parts
from tests.support.artifacts import Artifacts
from tests.support.batches import packed
from tests.support.hosted_parts import ALL, CASES, save_with_tokenizer, sine
from tests.support.onnx_models import HIDDEN, VOCABULARY, OnnxBert

pytest.importorskip("onnx")

Array = np.ndarray[Any, Any]

LENGTHS = (17, 1, 5, 24, 2, 16, 9)


@pytest.fixture(scope="session", params=["fp32", "bf16", "int8"])
def dtype(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def hosted(artifacts: Artifacts) -> Path:
    """The folder of a model with many parts that there is no op for."""
    return artifacts.derived("hosted", lambda path: save_with_tokenizer(path, **ALL))


@pytest.fixture
def executable(dtype: str, hosted: Path, artifacts: Artifacts) -> Executable:
    return open_artifact(artifacts.compile(hosted / "model.onnx", dtype)).executable


def sequences(lengths: Sequence[int] = LENGTHS) -> list[Array]:
    rng = np.random.default_rng(2)
    return [rng.integers(0, VOCABULARY, length, dtype=np.int32) for length in lengths]


def vectors(session: Session, some: Sequence[Array]) -> list[bytes]:
    return [
        row.tobytes()
        for row in session.run(*packed(some), outputs=["sentence_embedding"])["sentence_embedding"]
    ]


@pytest.mark.native
@pytest.mark.parametrize("threads", [1, 3])
def test_bits_depend_on_neither_batch_nor_threads(executable: Executable, threads: int) -> None:
    every, alone = sequences(), Session(executable, num_threads=1)
    expected = [vectors(alone, [each])[0] for each in every]
    session = Session(executable, num_threads=threads)
    assert vectors(session, every) == expected
    assert vectors(session, every[::-1]) == expected[::-1]
    assert vectors(session, every * 40) == expected * 40


@pytest.mark.native
def test_calls_at_once_give_the_same_bits(executable: Executable) -> None:
    session, every = Session(executable, num_threads=2), sequences()
    expected = vectors(session, every)
    with ThreadPoolExecutor(4) as threads:
        found = [*threads.map(lambda _: vectors(session, every), range(12))]
    assert found == [expected] * 12


@pytest.mark.native
def test_a_file_computes_what_its_graph_does(executable: Executable) -> None:
    """The graph that the file is lifted to is run by the reference, which knows no cuts."""
    ids, bounds = packed(sequences())
    graph = lift(executable)
    found = Session(executable).run(ids, bounds)
    expected = interpreter.run(graph, {"input_ids": ids, "cu_seqlens": bounds})
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=0, atol=2e-2 * np.abs(array).max())


@pytest.mark.native
@pytest.mark.parametrize("name", CASES)
def test_padded_calls_give_what_onnxruntime_does(name: str, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    path = save_with_tokenizer(tmp_path / "model", **CASES[name][0])
    bertc.compile(path, tmp_path / "m.bertc", dtype="fp32")
    with pytest.warns(UserWarning, match=r"run on the host.*\("):
        model = bertc.load(tmp_path / "m.bertc")
    rng = np.random.default_rng(7)
    mask = (np.arange(9) < np.array([9, 1, 4, 6])[:, None]).astype(np.int64)
    inputs = {
        "input_ids": rng.integers(1, VOCABULARY, mask.shape) * mask,
        "attention_mask": mask,
        "token_type_ids": rng.integers(0, 2, mask.shape) * mask,
    }
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    expected = session.run(None, {each: inputs[each] for each in names})[0]
    output = model(**inputs)
    found = output.last_hidden_state if output.logits is None else output.logits
    if found is None:
        kept = mask.astype(bool)
        bounds = np.cumsum([0, *mask.sum(axis=1)]).astype(np.int32)
        ids, types = (inputs[each][kept] for each in ("input_ids", "token_type_ids"))
        found = model.session.run(ids, bounds, types)["sentence_embedding"]
    if expected.ndim == 3:
        expected = expected * mask[..., None]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def beside_a_layer(bert: OnnxBert, x: str) -> dict[str, str]:
    """A linear layer whose sum with something of the host makes it come after that."""
    total = bert.op("Add", parts.matmul_add(bert, "beside", x, HIDDEN), bert.op("Sin", x))
    return {"last_hidden_state": parts.fused_norm(bert, "last", total)}


@pytest.mark.native
def test_rows_in_8_bits_are_made_again_after_a_cut(tmp_path: Path) -> None:
    """A layer norm writes 8 bits for a layer that stands behind a step on the host."""
    path = save_with_tokenizer(tmp_path / "model", head=beside_a_layer)
    executable = bertc.compile(path, tmp_path / "m.bertc", dtype="int8").executable
    session = Session(executable)
    cut = session._native
    assert isinstance(cut, SegmentedSession)
    steps = executable.program.steps
    made = Counter(steps[place].op for segment in cut._segments for place in segment.places)
    assert made - Counter(step.op for step in steps) == {"layer_norm_quantize": 1}
    ids, bounds = packed(sequences())
    expected = interpreter.run(lift(executable), {"input_ids": ids, "cu_seqlens": bounds})
    for name, array in session.run(ids, bounds).items():
        np.testing.assert_allclose(array, expected[name], rtol=0, atol=2e-2)


def test_outputs_and_buffers_that_no_one_asks_for_are_not_computed(executable: Executable) -> None:
    first = next(step for step in executable.program.steps if step.op == "host")
    session = Session(executable).with_outputs({"first": first.outputs[0]})
    ids, bounds = packed(sequences())
    profile = session.profile(PackedBatch({"input_ids": ids}, bounds), outputs=["first"])
    names = [step.name for step in executable.program.steps]
    times = dict(zip(names, profile.step_ns.sum(axis=0), strict=False))
    assert times[first.name] > 0
    assert not any(times[name] for name in names[names.index(first.name) + 1 :])


def test_a_profile_has_the_time_of_each_step(executable: Executable) -> None:
    ids, bounds = packed(sequences())
    profile = Session(executable, num_threads=2).profile(
        PackedBatch({"input_ids": ids}, bounds), inside_attention=True
    )
    assert profile.step_ns.shape == (2, len(executable.program.steps) + 1)
    assert (profile.step_ns.sum(axis=0) > 0).all()
    assert 0 < profile.step_ns.sum() <= 2 * profile.wall_ns


@pytest.mark.parametrize("bounds", [[0], [0, 3], [1, 4], [0, 5, 5], [0, 3, 2, 4]])
def test_bounds_that_make_no_sense(bounds: list[int], executable: Executable) -> None:
    with pytest.raises(InputError, match="cu_seqlens"):
        Session(executable).run(np.ones(4, np.int32), np.array(bounds, np.int32))


def test_hidden_states_go_through_the_host(tmp_path: Path) -> None:
    path = save_with_tokenizer(tmp_path / "model", gelu=sine, layers=2)
    bertc.compile(path, tmp_path / "m.bertc")
    with pytest.warns(UserWarning, match=r"nodes that run on the host.*\(Sin\), .*\(Sin\)"):
        model = bertc.load(tmp_path / "m.bertc")
    states = model(np.ones((2, 3), int), output_hidden_states=True).hidden_states
    assert states is not None
    assert [state.shape for state in states] == [(2, 3, HIDDEN)] * 3


def test_gaps_in_a_mask_are_refused(artifacts: Artifacts, hosted: Path) -> None:
    with pytest.warns(UserWarning, match="run on the host"):
        model = bertc.load(artifacts.compile(hosted / "model.onnx", "fp32"))
    with pytest.raises(InputError, match="works by the distance between tokens"):
        model(np.ones((1, 3), int), np.array([[1, 0, 1]]))


def test_strict_refuses_and_names_the_nodes(tmp_path: Path) -> None:
    path = save_with_tokenizer(tmp_path / "model", gelu=sine)
    with pytest.raises(CheckpointError, match=r"strict refuses nodes that run on the host.*'n\d+' \(Sin\)"):
        bertc.compile(path, tmp_path / "m.bertc", strict=True)
    done = CliRunner().invoke(app, ["compile", str(path), "-o", str(tmp_path / "m.bertc"), "--strict"])
    assert isinstance(done.exception, CheckpointError)
    assert not (tmp_path / "m.bertc").exists()


def test_strict_takes_what_is_native(tmp_path: Path) -> None:
    path = save_with_tokenizer(tmp_path / "model")
    assert "host" not in bertc.compile(path, tmp_path / "m.bertc", strict=True).manifest.program.features


def test_commands_and_certificate_tell(tmp_path: Path) -> None:
    path, out = save_with_tokenizer(tmp_path / "model", gelu=sine), str(tmp_path / "m.bertc")
    done = CliRunner().invoke(app, ["compile", str(path), "-o", out, "--json"])
    facts = json.loads(done.stdout)
    (node,) = facts["host"]
    assert node.endswith("(Sin)")
    assert any(
        f"nodes that run on the host, with NumPy in fp32: {node}" in note
        for note in facts["certificate"]["notes"]
    )
    shown = json.loads(CliRunner().invoke(app, ["show", out, "--json"]).stdout)
    (step,) = shown["host"].values()
    assert step["nodes"] == [node]
    assert "no op of bertc" in step["reason"]
    assert "host" in open_artifact(out).manifest.program.features
    assert "(Sin)" in CliRunner().invoke(app, ["show", out]).stdout


def test_an_export_names_the_step(tmp_path: Path) -> None:
    path = OnnxBert(gelu=sine).save(tmp_path / "m.onnx")
    with (
        pytest.warns(UserWarning, match="no tokenizer"),
        pytest.raises(InputError, match=r"an export cannot hold nodes that run on the host.*\(Sin\)"),
    ):
        bertc.export(path, tmp_path / "out.onnx")


def test_a_program_of_steps_on_the_host_alone(executable: Executable) -> None:
    program = executable.program
    host = tuple(step for step in program.steps if step.op == "host")
    first = host[0].inputs["x0"]
    port = next(each for each in program.buffers if each.name == first)
    changed = dataclasses.replace(
        program,
        steps=host[:1],
        inputs=(Port(first, "f32", "tokens", port.columns),),
        outputs={"y": host[0].outputs[0]},
    )
    with pytest.raises(ArtifactError, match="all of its steps are for the host"):
        Session(dataclasses.replace(executable, program=changed))
