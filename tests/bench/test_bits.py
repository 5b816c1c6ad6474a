"""``benchmarks/bits.py`` on a tiny checkpoint: it finds again what it wrote down, and sees a difference."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import bits
import pytest

from tests.conftest import MakeArtifact
from tests.support.native import ISAS


def test_bits_are_written_down_and_compared(
    checkpoint: MakeArtifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BERTC_ISA", "scalar")  # the script changes it: put it back afterwards
    monkeypatch.setattr(bits, "model_folder", checkpoint)
    monkeypatch.setattr(bits, "RECIPES", {"bf16": "bf16"})
    file = tmp_path / "bits.json"
    monkeypatch.setattr(sys, "argv", ["bits.py", "--json", str(file)])
    bits.main()
    hashes = json.loads(file.read_text("utf-8"))
    assert list(hashes) == ["sentences", "bf16 tensors", *(f"bf16 {isa}" for isa in ISAS)]
    monkeypatch.setattr(sys, "argv", ["bits.py", "--check", str(file)])
    bits.main()
    file.write_text(json.dumps({**hashes, "bf16 scalar": "other", "int8 scalar": "more"}))
    with pytest.raises(SystemExit, match=r"not as in .*: bf16 scalar, int8 scalar$"):
        bits.main()
