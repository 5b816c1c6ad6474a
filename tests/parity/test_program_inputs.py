"""What goes into a program is what its graph declares: rows of numbers, ids of any name, no token types."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from bertc.artifact.executable import Executable
from bertc.errors import ArtifactError, InputError
from bertc.ir.graph import Constant, DType, Graph, Node
from bertc.ir.interpreter import run
from bertc.lowering.lower import lower
from bertc.ports import SELECTED, SEQUENCES, TOKENS, Port
from bertc.runtime.batching import PackedBatch
from bertc.runtime.session import Session
from tests.support.native import ISAS, aligned

Array = np.ndarray[Any, Any]

COLUMNS = 21
LENGTHS = (3, 40, 1, 200, 17)
"""Enough tokens that threads take sequences of their own; the first alone is shared by them."""

pytestmark = pytest.mark.parametrize("isa", ISAS)


def _graph() -> Graph:
    """Rows of numbers, normalized, and the same rows through a linear layer that comes first."""
    rng = np.random.default_rng(0)
    weight = Constant(DType.F32, rng.standard_normal((16, COLUMNS)).astype(np.float32))
    nodes = (
        Node(
            "product",
            "linear",
            {"x": "inputs_embeds", "weight": "w", "bias": "b"},
            ("y",),
            {"activation": "none"},
        ),
        Node("norm", "normalize", {"x": "inputs_embeds"}, ("z",)),
    )
    port = Port("inputs_embeds", "f32", TOKENS, COLUMNS)
    unused = Port("input_ids", "i32", TOKENS)
    return Graph(
        (unused, port),
        {"w": weight, "b": Constant(DType.F32, rng.standard_normal(16).astype(np.float32))},
        nodes,
        {"product": "y", "norm": "z"},
        "typed",
    )


def _session(graph: Graph, isa: str, threads: int = 1) -> Session:
    lowered = lower(graph)
    tensors = {
        name: type(tensor)(
            tensor.dtype, aligned(tensor.array).view(tensor.array.dtype).reshape(tensor.array.shape)
        )
        for name, tensor in lowered.tensors.items()
    }
    return Session(Executable(lowered.program, tensors), isa=isa, num_threads=threads)


def _batch(lengths: tuple[int, ...], columns: int = COLUMNS) -> PackedBatch:
    rows = np.random.default_rng(1).standard_normal((sum(lengths), columns)).astype(np.float32)
    return PackedBatch({"inputs_embeds": rows}, np.cumsum([0, *lengths], dtype=np.int32))


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("lengths", [LENGTHS, LENGTHS[:1], LENGTHS * 8])
def test_rows_of_numbers_reach_the_program(isa: str, threads: int, lengths: tuple[int, ...]) -> None:
    graph, batch = _graph(), _batch(lengths)
    expected = run(graph, {**batch.inputs, "cu_seqlens": batch.cu_seqlens})
    session = _session(graph, isa, threads)
    for _ in range(2):  # the second time over the memory of the first
        found = session.run_batch(batch)
        assert found.keys() == expected.keys()
        for name, array in expected.items():
            np.testing.assert_allclose(found[name], array, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("lengths", [LENGTHS, LENGTHS[:1], LENGTHS * 8])
def test_rows_of_sequences_reach_the_program(isa: str, threads: int, lengths: tuple[int, ...]) -> None:
    tokens = _graph()
    graph = dataclasses.replace(tokens, inputs=(dataclasses.replace(tokens.inputs[1], rows=SEQUENCES),))
    rows = np.random.default_rng(1).standard_normal((len(lengths), COLUMNS)).astype(np.float32)
    batch = PackedBatch({"inputs_embeds": rows}, _batch(lengths).cu_seqlens)
    expected = run(graph, {**batch.inputs, "cu_seqlens": batch.cu_seqlens})
    session = _session(graph, isa, threads)
    for _ in range(2):
        for name, array in session.run_batch(batch).items():
            np.testing.assert_allclose(array, expected[name], rtol=1e-4, atol=1e-5)
    with pytest.raises(InputError, match="is not an array of float32"):
        session.run_batch(PackedBatch({"inputs_embeds": rows[:0]}, batch.cu_seqlens))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "'inputs_embeds' is missing"),
        ({"inputs_embeds": np.zeros((3, COLUMNS + 1), np.float32)}, r"array of floats \[tokens, 21\]"),
        ({"inputs_embeds": np.zeros((3, COLUMNS), np.int32)}, r"array of floats \[tokens, 21\]"),
        ({"inputs_embeds": np.zeros((2, COLUMNS), np.float32)}, "there are 2 tokens"),
        ({"input_ids": np.zeros(3, np.int32)}, "it takes inputs_embeds, not input_ids"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(isa: str, inputs: dict[str, Array], message: str) -> None:
    with pytest.raises(InputError, match=message):
        _session(_graph(), isa).run_batch(PackedBatch(inputs, np.array([0, 3], np.int32)))


SELECTIONS = ([], [0], [2], [1, 2, 3, 42, 60], list(range(3)), [0, 260])


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("selected", SELECTIONS, ids=str)
def test_only_selected_rows_come_out_whatever_the_chunks(isa: str, threads: int, selected: list[int]) -> None:
    rows = Node("rows", "select_rows", {"x": "inputs_embeds", "selected": "selected"}, ("rows",))
    product, norm = _graph().nodes
    nodes = (rows, product.with_inputs(x="rows"), norm)
    ports = (*_graph().inputs, Port("selected", "i32", SELECTED))
    graph = Graph(ports, _graph().constants, nodes, {"product": "y", "rows": "rows", "norm": "z"}, "typed")
    session = _session(graph, isa, threads)
    for lengths in (LENGTHS, (261,)):
        batch = _batch(lengths)
        inputs = {**batch.inputs, "selected": np.array(selected, np.int32)}
        expected = run(graph, {**inputs, "cu_seqlens": batch.cu_seqlens})
        found = session.run_batch(PackedBatch(inputs, batch.cu_seqlens))
        for name, array in expected.items():
            np.testing.assert_allclose(found[name], array, rtol=1e-4, atol=1e-5)
        for wrong in ([1, 1], [2, 1], [-1], [261]):
            bad = PackedBatch({**inputs, "selected": np.array(wrong)}, batch.cu_seqlens)
            with pytest.raises(InputError, match=r"selected\[\d\] is .* must increase"):
                session.run_batch(bad)
        with pytest.raises(InputError, match="'selected' is missing"):
            session.run_batch(batch)


def _embedding(*names: str, own_name: str = "input_ids") -> Graph:
    tables = {name: np.arange(32, dtype=np.float32).reshape(2, 16) + i for i, name in enumerate(names)}
    operands = {name: name for name in names} | {
        f"{name}_ids": f"{name}_ids" for name in names if name != "word"
    }
    node = Node(
        "embeddings",
        "embed",
        {**operands, "input_ids": own_name, "cu_seqlens": "cu_seqlens"},
        ("x",),
    )
    ports = [Port(own_name, "i32", TOKENS)] + [Port(f"{n}_ids", "i32", TOKENS) for n in names if n != "word"]
    constants = {name: Constant(DType.F32, table) for name, table in tables.items()}
    return Graph(tuple(ports), constants, (node,), {"x": "x"}, "typed")


def test_a_program_may_lack_token_types_and_ignores_those_that_come(isa: str) -> None:
    session, ids, bounds = _session(_embedding("word"), isa), np.array([0, 1], np.int32), np.array([0, 2])
    assert [port.name for port in session.inputs] == ["input_ids"]
    bare, given = session.run(ids, bounds)["x"], session.run(ids, bounds, np.array([7, 7]))["x"]
    np.testing.assert_array_equal(bare, given)


def test_ids_may_have_a_name_and_a_table_of_their_own(isa: str) -> None:
    graph = _embedding("word", "task_type", own_name="codes")
    ids, bounds = np.array([0, 1], np.int32), np.array([0, 2], np.int32)
    session = _session(graph, isa)
    for inputs in ({"codes": ids}, {"codes": ids, "task_type_ids": np.array([1, 0])}):
        expected = run(graph, {**inputs, "cu_seqlens": bounds})["x"]
        np.testing.assert_array_equal(session.run_batch(PackedBatch(inputs, bounds))["x"], expected)
    with pytest.raises(InputError, match=r"task_type_ids\[1\] is 2, but the model's table has rows 0 to 1"):
        session.run_batch(PackedBatch({"codes": ids, "task_type_ids": np.array([1, 2])}, bounds))
    with pytest.raises(InputError, match="input 'codes' is missing"):
        session.run_batch(PackedBatch({"task_type_ids": ids}, bounds))


@pytest.mark.parametrize(
    ("port", "message"),
    [
        (Port("more", "f32", TOKENS, 16), "has no buffer that fits"),
        (Port("inputs_embeds", "f32", TOKENS, COLUMNS), "two inputs are called"),
        (Port("cu_seqlens", "i32", TOKENS), "two inputs are called"),
        (Port("w", "i32", TOKENS), "something else"),
        (Port("ids", "i32", "sequences"), "neither ids nor f32"),
        (Port("ids", "f32", TOKENS), "neither ids nor f32"),
        (Port("selected", "i32", TOKENS), "nor selected"),
        (Port("ids", "i32", SELECTED), "nor selected"),
        (Port("ids", "i32", "batches"), "rows of an unknown kind"),
    ],
    ids=str,
)
def test_a_forged_input_is_refused(isa: str, port: Port, message: str) -> None:
    lowered = lower(_graph())
    forged = type(lowered.program)(**{**vars(lowered.program), "inputs": (*lowered.program.inputs, port)})
    tensors = {
        name: type(t)(t.dtype, aligned(t.array).view(np.float32).reshape(t.array.shape))
        for name, t in lowered.tensors.items()
    }
    with pytest.raises(ArtifactError, match=message):
        Session(Executable(forged, tensors), isa=isa)
