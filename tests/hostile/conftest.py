from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.support.artifacts import Artifacts
from tests.support.hf_checkpoints import save_checkpoint
from tests.support.hosted_parts import ALL, save_with_tokenizer
from tests.support.module_checkpoints import make_module_checkpoint

Attack = Callable[..., dict[str, str]]

TIMEOUT = 300
"""Seconds that a child may take; an attack on one file takes milliseconds."""


VARIANTS = {"embedding": "int8", "classification": "fp32", "token_classification": "bf16"}
"""Every task and every dtype once."""


@pytest.fixture(scope="session")
def checkpoint(artifacts: Artifacts) -> Path:
    return artifacts.tiny_checkpoint()


@pytest.fixture(scope="session", params=[*VARIANTS, "modules", "distances", "host"])
def artifact(request: pytest.FixtureRequest, artifacts: Artifacts) -> Path:
    """A model of each task, one with all modules of sentence-transformers, one that attends by distance.

    The first shifts the first token in 8 bits by itself; the last one has steps on the host.
    """
    if request.param == "host":
        return make_hosted_artifact(artifacts)
    if request.param == "modules":
        return artifacts.compile(artifacts.derived("all-modules", make_module_checkpoint), "int8")
    if request.param == "distances":
        return artifacts.compile(
            artifacts.derived("mpnet", partial(save_checkpoint, class_name="MPNetModel")), "int8"
        )
    return artifacts.tiny(VARIANTS[request.param], request.param, sink=request.param == "embedding")


def make_hosted_artifact(artifacts: Artifacts) -> Path:
    """Return a compiled file of many steps on the host; skips the test without the package ``onnx``."""
    pytest.importorskip("onnx")
    folder = artifacts.derived("hosted", lambda path: save_with_tokenizer(path, **ALL))
    return artifacts.compile(folder / "model.onnx", "int8")


@pytest.fixture
def attack(tmp_path: Path) -> Attack:
    """Runs an attack of ``attacks.py`` in a child process; gives its outcomes by the name of the damage.

    A crash or a hang of the child fails the test, and the message holds the damage that did it.
    """

    def run(kind: str, artifact: Path) -> dict[str, str]:
        command = [sys.executable, "-m", "tests.hostile.attacks", kind, str(artifact), str(tmp_path)]
        child = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT, cwd=Path(__file__).parent.parent.parent
        )
        lines = child.stdout.splitlines()
        assert child.returncode == 0, f"{kind}: died of {lines[-1:]}\n{child.stderr[-4000:]}"
        return {name: outcome for name, outcome in map(json.loads, lines) if outcome}

    return run
