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
    file = open_artifact(artifact("embedding", "int8"))
    pooler = sum(entry.nbytes for name, entry in file.tensors.items() if name.startswith("pooler.dense"))
    without, with_it = (matrix_bytes(file, output) for output in ("last_hidden_state", "pooler_output"))
    assert with_it - without == pooler > 0
    tables = sum(entry.nbytes for name, entry in file.tensors.items() if "embeddings." in name)
    norms = sum(entry.nbytes for name, entry in file.tensors.items() if ".LayerNorm." in name)
    smoothing = sum(entry.nbytes for name, entry in file.tensors.items() if "first_token.smooth." in name)
    in_both = sum(entry.nbytes for name, entry in file.tensors.items() if "embeddings.LayerNorm" in name)
    assert (
        with_it == sum(entry.nbytes for entry in file.tensors.values()) - tables - norms - smoothing + in_both
    )
