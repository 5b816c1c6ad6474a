"""A report of the bench, which is put together from timings, and the file that keeps reports.

A results file holds the reports of one kind of machine, one for each model and number of threads:
plots and tables in the README and the docs are made from it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

from bertc.atomic_file import replace_atomically
from bertc.bench.peaks import Peaks
from bertc.bench.process import EngineFacts
from bertc.bench.timing import Timing, faster
from bertc.bench.work import INT8_FOURS
from bertc.errors import InputError
from bertc.precision import INT8

FORMAT = 1
"""The format of reports and results files: raised when a reader of the old one misreads the new one."""

TEXT_PAIRS = (
    ("sorted", "sorted"),
    ("unsorted", "unsorted"),
    ("single", "single"),
    ("one_call", "sorted"),
    ("one_call", "unsorted"),
)
"""The pairs of ways to run texts that are compared: ours, and the peer's."""


def best_peaks(measured: Sequence[Peaks]) -> Peaks | None:
    """Take the highest value of each limit."""
    if not measured:
        return None
    gops = {
        isa: {dtype: max(each.gops[isa][dtype] for each in measured) for dtype in measured[0].gops[isa]}
        for isa in measured[0].gops
    }
    return Peaks(measured[0].threads, gops, max(each.memory_gb_per_second for each in measured))


def limit(peaks: Peaks | None, dtype: str, isa: str | None) -> float | None:
    """Return the limit for a dtype on the instruction sets up to ``isa``, in 10^9 operations per second.

    Ours may be told to use a lower one than the processor has; what peers call theirs is not ours.
    """
    if peaks is None:
        return None
    isas = list(peaks.gops)
    usable = isas[: isas.index(isa) + 1] if isa in isas else isas
    return max((peaks.gops[each][dtype] for each in usable if dtype in peaks.gops[each]), default=None)


def rate(engine: EngineFacts, timing: Timing, peaks: Peaks | None) -> dict[str, Any]:
    """Make a row of the report: the timing, and its share of the machine's limit."""
    best = limit(peaks, engine.dtype, engine.isa)
    share = None if best is None else 100 * timing.gops / best
    return {"engine": engine.name, **asdict(timing), "percent_of_peak": share}


def ratios(
    shapes: Mapping[tuple[tuple[int, int], str], Timing],
    texts: Mapping[tuple[str, str], Timing],
    ours: Sequence[str],
    peers: Sequence[str],
) -> list[dict[str, Any]]:
    """Tell how many times faster each of ours is than each peer, for each shape and way to run texts."""
    works = list(dict.fromkeys(shape for shape, _ in shapes))
    pairs: list[tuple[str, Mapping[Any, Timing], Any, Any]] = [
        (f"{batch}x{length}", shapes, (batch, length), (batch, length)) for batch, length in works
    ]
    pairs += [(a if a == b else f"{a}/{b}", texts, a, b) for a, b in TEXT_PAIRS]
    rows = []
    for (work, timings, mine, theirs), own, peer in product(pairs, ours, peers):
        if (mine, own) in timings and (theirs, peer) in timings:
            ratio = faster(timings[mine, own].round_ms, timings[theirs, peer].round_ms)
            rows.append({"engine": own, "peer": peer, "work": work, **ratio})
    return rows


def rivals(own_dtype: str, peer_dtype: str) -> bool:
    """Tell whether a peer counts when ours in this dtype is compared with the best of them.

    Int8 has to beat everyone; bf16 and fp32 are chosen for their accuracy, and meet their like.
    """
    return own_dtype in (INT8, INT8_FOURS, peer_dtype)


def save(path: Path, report: Mapping[str, Any]) -> None:
    """Put the report into a results file, in place of an older one of the same model and threads."""
    kept = load_results(path) if path.exists() else []
    kept = [each for each in kept if _subject(each) != _subject(report)]
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"format": FORMAT, "reports": [*kept, report]}, indent=1)
    with replace_atomically(path) as file:  # an interrupted run leaves what it had saved before
        file.write(f"{text}\n".encode())


def find_interrupted(path: Path, model: str, threads: int) -> dict[str, Any] | None:
    """Return what an interrupted run of a model has left in a results file, None if there is nothing."""
    wanted = (model, threads)
    for report in load_results(path) if path.exists() else ():
        if _subject(report) == wanted and not report["complete"]:
            return report
    return None


def _subject(report: Mapping[str, Any]) -> tuple[str, int]:
    return report["model"]["name"], report["settings"]["threads"]


def load_results(path: Path) -> list[dict[str, Any]]:
    """Read the reports in a results file. Raises ``InputError`` for any other file."""
    try:
        content = json.loads(path.read_text("utf-8"))
        version, reports = content["format"], content["reports"]
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{path} is no results file of bertc bench") from None
    if version != FORMAT:
        raise InputError(f"{path} has format {version}, this version of bertc reads {FORMAT}")
    return list(reports)
