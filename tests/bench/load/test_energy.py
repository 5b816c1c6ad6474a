from __future__ import annotations

from pathlib import Path

import pytest

from bertc.bench.load.energy import EnergyMeter
from bertc.errors import InputError


def zone(folder: Path, name: str, microjoules: str, limit: int = 1_000_000) -> Path:
    path = folder / name
    path.mkdir(exist_ok=True)
    (path / "energy_uj").write_text(microjoules)
    (path / "max_energy_range_uj").write_text(f"{limit}\n")
    return path


def test_packages_are_added_up_and_their_parts_are_not(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", "100\n")
    zone(tmp_path, "intel-rapl:1", "200\n")
    zone(tmp_path, "intel-rapl:0:0", "300\n")
    meter = EnergyMeter(tmp_path)
    zone(tmp_path, "intel-rapl:0", "500100")
    zone(tmp_path, "intel-rapl:1", "250200")
    zone(tmp_path, "intel-rapl:0:0", "900000")
    assert meter.joules() == pytest.approx(0.75)
    assert meter.joules() == 0


def test_a_counter_that_starts_over(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", "900000")
    meter = EnergyMeter(tmp_path)
    zone(tmp_path, "intel-rapl:0", "100000")
    assert meter.joules() == pytest.approx(0.2)


def test_a_machine_without_counters_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no counters of it"):
        EnergyMeter(tmp_path)


def test_counters_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    (zone(tmp_path, "intel-rapl:0", "1") / "energy_uj").unlink()
    with pytest.raises(InputError, match=r"cannot read .*energy_uj: .*only root"):
        EnergyMeter(tmp_path)
    zone(tmp_path, "intel-rapl:0", "none")
    with pytest.raises(InputError, match="it holds no number"):
        EnergyMeter(tmp_path)
