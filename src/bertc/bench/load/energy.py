"""Reads the energy that processors have used, from RAPL's counters as Linux shows them."""

from __future__ import annotations

from pathlib import Path

from bertc.errors import InputError

POWERCAP = Path("/sys/class/powercap")


class EnergyMeter:
    """Adds up the joules of all processor packages, whatever runs on them."""

    def __init__(self, folder: Path = POWERCAP) -> None:
        """Find the counters. Raises ``InputError`` that says why they cannot be read."""
        # intel-rapl:0 is a package, of AMD's processors too; intel-rapl:0:0 are its cores or its memory.
        self._zones = sorted(zone for zone in folder.glob("intel-rapl:*") if zone.name.count(":") == 1)
        if not self._zones:
            raise InputError(
                f"--energy needs RAPL, and {folder} has no counters of it: virtual machines and containers "
                "hide them, and other processors have none. Leave --energy out, or measure at the plug"
            )
        try:
            self._limits = [_number(zone / "max_energy_range_uj") for zone in self._zones]
            self._last = self._read()
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it holds no number"
            raise InputError(
                f"--energy cannot read {self._zones[0] / 'energy_uj'}: {reason}. Since Linux 5.10 only root "
                "may: run as root, or allow it with chmod a+r"
            ) from None

    def joules(self) -> float:
        """Return the energy since the last call, or since the start. A counter may start over once."""
        now = self._read()
        used = 0
        for before, after, limit in zip(self._last, now, self._limits, strict=True):
            used += after - before if after >= before else after - before + limit
        self._last = now
        return used / 1e6

    def _read(self) -> list[int]:
        return [_number(zone / "energy_uj") for zone in self._zones]


def _number(file: Path) -> int:
    return int(file.read_text("utf-8"))
