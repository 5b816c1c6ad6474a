from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bertc.artifact.executable import Executable, Tensor
from bertc.artifact.reader import open_artifact
from bertc.artifact.schema import Buffer, Program, Step
from bertc.bench.work import matrix_bytes, needed_steps, operations
from tests.bench.fakes import bert_operations
from tests.conftest import MakeArtifact
from tests.support.answers import make_info


def test_only_the_steps_that_an_output_needs_are_counted(artifact: MakeArtifact) -> None:
    program = open_artifact(artifact()).manifest.program
    names = {output: [step.name for step in needed_steps(program, output)] for output in program.outputs}
    assert names["sentence_embedding"][0] == "embeddings"
    assert "sentence.pooling" in names["sentence_embedding"]
    assert "pooler.dense" not in names["sentence_embedding"]
    assert "pooler.dense" in names["pooler_output"]


def test_the_bytes_of_matrices_are_those_of_weights_and_their_vectors(artifact: MakeArtifact) -> None:
    executable = open_artifact(artifact("embedding", "int8")).executable

    def size(part: str) -> int:
        return sum(each.array.nbytes for name, each in executable.tensors.items() if part in name)

    pooler = size("pooler.dense")
    without, with_it = (matrix_bytes(executable, output) for output in ("last_hidden_state", "pooler_output"))
    assert with_it - without == pooler > 0
    others = sum(map(size, ("embeddings.", ".LayerNorm.", "dense.smooth.", "first_token.smooth.", "zeros.")))
    assert with_it == size("") - others + size("embeddings.LayerNorm")


def test_operations_of_bert_are_those_of_its_layers(artifact: MakeArtifact) -> None:
    for task in ("embedding", "classification"):
        opened = open_artifact(artifact(task))
        info = opened.manifest.model
        for lengths in ([1, 3], [7] * 5):
            assert operations(opened.executable, info, lengths) == bert_operations(info, lengths)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (Step("linear_int8", "qkv with shared keys", {"x": "two"}, ("eight",)), 3 * 2 * (2 * 8)),
        (Step("linear", "gates and values", {"x": "two"}, ("four",), {"gated": 1}), 3 * 2 * (2 * 8)),
        (Step("attention", "", {"qkv": "eight"}, ("four",)), 3 * 2 * (4 * 3 + 4 * 3)),
        # The tokens of three name rows 2, 3; 1, 2, 3; and 0, 1, 2, each of either table.
        (
            Step(
                "attention",
                "disentangled",
                {"qkv": "eight", "buckets": "buckets", "position_keys": "", "position_queries": ""},
                ("four",),
            ),
            3 * 2 * (4 * 3 + 4 * 3) + 2 * 2 * 4 * (2 + 3 + 3),
        ),
        (
            Step(
                "attention",
                "one table",
                {"qkv": "eight", "buckets": "buckets", "position_queries": ""},
                ("four",),
            ),
            3 * 2 * (4 * 3 + 4 * 3) + 2 * 4 * (2 + 3 + 3),
        ),
    ],
)
def test_operations_are_those_of_the_programs_own_steps(step: Step, expected: int) -> None:
    """For two texts of three tokens, with what comes behind the encoder and without."""
    head = Step("linear", "head", {"x": step.outputs[0]}, ("two",))
    columns = {"two": 2, "four": 4, "eight": 8}
    buffers = tuple(Buffer(name, "f32", "tokens", width, 0) for name, width in columns.items())
    program = Program(buffers, (), (step, head), {"sentence_embedding": "two"}, ())
    buckets = Tensor("i32", np.array([[0, 0, 0, 1, 2, 3, 3, 3]], np.int32))
    executable = Executable(program, {"buckets": buckets})

    def count(**changes: Any) -> int:
        return operations(executable, make_info("embedding", **changes), [3, 3])

    assert count(hidden_states=("two", step.outputs[0])) == 2 * expected
    assert count() == 2 * expected + 6 * 2 * columns[step.outputs[0]] * 2


def test_a_window_counts_the_keys_that_it_leaves() -> None:
    step = Step("attention", "", {"qkv": "four"}, ("four",), {"window": 2})
    program = Program(
        (Buffer("four", "f32", "tokens", 4, 0),), (), (step,), {"sentence_embedding": "four"}, ()
    )
    found = operations(Executable(program, {}), make_info("embedding"), [9])
    assert found == 9 * 2 * (4 * 5 + 4 * 5)
