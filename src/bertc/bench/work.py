"""What a pass through a program has to do: its steps, and the weights that it reads."""

from __future__ import annotations

from bertc.artifact.reader import Artifact
from bertc.artifact.schema import Program, Step


def needed_steps(program: Program, output: str) -> list[Step]:
    """The steps that a public output needs, in their order: what a session runs for it."""
    needed = {program.outputs[output]}
    steps = []
    for step in reversed(program.steps):
        if needed.intersection(step.outputs):
            needed.update(step.inputs)
            steps.append(step)
    return steps[::-1]


def matrix_bytes(artifact: Artifact, output: str) -> int:
    """Bytes that the matrix products of a pass read besides activations: weights, scales, biases."""
    steps = needed_steps(artifact.manifest.program, output)
    names = {name for step in steps if step.op.startswith("linear") for name in step.inputs}
    return sum(entry.nbytes for name, entry in artifact.tensors.items() if name in names)
