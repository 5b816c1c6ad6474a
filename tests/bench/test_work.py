from __future__ import annotations

from bertc.artifact.reader import open_artifact
from bertc.bench.work import matrix_bytes, needed_steps
from tests.conftest import MakeArtifact


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
    others = size("embeddings.") + size(".LayerNorm.") + size("first_token.smooth.")
    assert with_it == size("") - others + size("embeddings.LayerNorm")
