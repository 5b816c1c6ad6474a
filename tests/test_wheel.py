"""What an installed package must do without any extra: cibuildwheel runs this on every wheel."""

from __future__ import annotations

import subprocess
import sys
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

import bertc
from bertc import _native
from tests.support.tiny_models import make_bert_checkpoint


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel") / "tiny"
    make_bert_checkpoint(folder, "embedding")
    return folder


@pytest.mark.parametrize("dtype", ["fp32", "bf16", "int8"])
def test_checkpoint_becomes_a_file_that_embeds(checkpoint: Path, tmp_path: Path, dtype: str) -> None:
    artifact = bertc.compile(checkpoint, tmp_path / "tiny.bertc", dtype=dtype)
    encoder = bertc.load(artifact.path, verify=True)
    vectors = np.asarray(encoder.encode(["hello world", "a small dog"]))
    assert vectors.shape == (2, encoder.info.size("hidden_size"))
    assert np.isfinite(vectors).all()
    np.testing.assert_array_equal(encoder.encode("a small dog"), vectors[1])


def test_portable_kernels_are_always_there() -> None:
    assert _native.supported_isas()[0] == "scalar"


def test_package_holds_its_data() -> None:
    package = resources.files("bertc")
    assert package.joinpath("py.typed").is_file()
    assert package.joinpath("data", "sample_texts.txt").is_file()
    assert package.joinpath("report", "style.css").is_file()
    assert package.joinpath("inspection", "graph.css").is_file()


def test_command_line_shows_its_version() -> None:
    command = [sys.executable, "-m", "bertc.cli.main", "--version"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert shown.stdout.strip() == f"bertc {bertc.__version__}"
