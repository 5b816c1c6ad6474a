"""The time from starting Python to the first embedding, as a whole and in parts.

``python benchmarks/startup.py FILE.bertc [--repeats 15] [--json]``

"whole" is what a user waits for a script of three lines; the parts are measured inside of other
processes (``bertc.bench.startup``), so that they do not add up to it exactly. Every process is a
fresh one, the file is in the disk cache. Reported are medians, and the fastest of all.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from pathlib import Path

from bertc.bench.startup import PHASES, time_phases, time_whole

TARGET_SECONDS = 0.3
"""The target for the whole, for all-MiniLM-L6-v2 in int8 with AVX-512 (0.4 without)."""


def measure(path: Path, repeats: int) -> dict[str, dict[str, float]]:
    """Measure median and smallest milliseconds of the whole and of each part."""
    time_whole(path)  # fills the disk cache
    times: dict[str, list[float]] = {"whole": [], **{phase: [] for phase in PHASES}}
    for _ in range(repeats):
        times["whole"].append(time_whole(path))
        parts = time_phases(path)
        for phase in PHASES:
            times[phase].append(parts[phase])
    return {
        name: {"median_ms": statistics.median(values), "least_ms": min(values)}
        for name, values in times.items()
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("file", type=Path, help="a .bertc file that embeds")
    parser.add_argument("--repeats", type=int, default=15, help="fresh processes (default 15)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args(arguments)
    times = measure(given.file, given.repeats)
    if given.json:
        print(json.dumps({"file": given.file.name, "repeats": given.repeats, "times": times}))
        return
    print(f"{'':12}{'median, ms':>12}{'least, ms':>12}")
    for name, row in times.items():
        print(f"{name:12}{row['median_ms']:12.0f}{row['least_ms']:12.0f}")
    print(f"target for the whole: {1000 * TARGET_SECONDS:.0f} ms")


if __name__ == "__main__":
    main()
