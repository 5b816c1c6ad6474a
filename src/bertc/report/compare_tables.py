"""The tables of two runs or two folders of outputs side by side, for terminals and pages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from bertc.compare.outputs import Difference, OutputComparison
from bertc.compare.runs import ENERGY, SPEED, RunComparison
from bertc.report.tables import Table

WORST = 20
"""The files that are listed, those that differ most."""


def for_runs(comparison: RunComparison) -> Iterator[Table]:
    """Yield what is not the same in both runs, their speeds and latencies, energy and scores."""
    yield circumstances(comparison)
    yield speeds(comparison)
    yield energy(comparison)
    yield scores(comparison)


def circumstances(comparison: RunComparison) -> Table:
    """Return what was not the same in both runs."""
    rows = [(name, _spell(one), _spell(other)) for name, (one, other) in comparison.changed.items()]
    return Table("what changed", ("", "A", "B"), rows)


def speeds(comparison: RunComparison) -> Table:
    """Return samples per second and latencies of the rows that both runs have."""
    columns = ("", "samples/s A", "B", "B / A", "spread", "p50 ms A", "B", "p99 ms A", "B")
    rows = []
    for name in comparison.shared:
        ratio, noise = comparison.ratio(name, SPEED), comparison.noise(name)
        within = noise is not None and ratio is not None and abs(ratio - 1) <= noise
        spelled = "" if ratio is None else f"{ratio:.3f}{', within the spread' if within else ''}"
        spread = "" if noise is None else f"{100 * noise:.0f} %"
        pairs = [_pair(comparison.pair(name, figure)) for figure in (SPEED, "p50_ms", "p99_ms")]
        rows.append((name, *pairs[0], spelled, spread, *pairs[1], *pairs[2]))
    used = [index for index in range(len(columns)) if any(row[index] for row in rows)]
    return Table(
        "speed",
        [columns[index] for index in used],
        [[row[index] for index in used] for row in rows],
    )


def energy(comparison: RunComparison) -> Table:
    """Return joules per sample; no rows where nobody measured them."""
    found = [
        (name, comparison.pair(name, ENERGY), comparison.ratio(name, ENERGY)) for name in comparison.shared
    ]
    rows = [
        (name, f"{pair[0]:.4g}", f"{pair[1]:.4g}", f"{ratio:.3f}")
        for name, pair, ratio in found
        if pair is not None and ratio is not None
    ]
    return Table("energy", ("", "J/sample A", "B", "B / A"), rows)


def scores(comparison: RunComparison) -> Table:
    """Return the scores of the rows that both runs have; no rows without labeled data."""
    rows = [
        (name, metric, f"{one:.2f}", f"{other:.2f}", f"{other - one:+.2f}")
        for name in comparison.shared
        for metric, (one, other) in comparison.scores(name).items()
    ]
    return Table("scores", ("", "metric, of 100", "A", "B", "B - A"), rows)


def for_outputs(comparison: OutputComparison) -> Iterator[Table]:
    """Yield what holds for all files together, and the files that differ most."""
    yield totals(comparison)
    yield worst(comparison)


def totals(comparison: OutputComparison) -> Table:
    """Return names and values of what holds for all files together."""
    found = comparison.totals()
    agreement = found["argmax_agreement"]
    first = comparison.first_that_differs
    facts = {
        "compared": f"{found['compared']:,}",
        f"differ by more than {found['tolerance']:g}": f"{found['differ']:,}",
        "first that differs": "none" if first is None else first.name,
        "only in A": f"{found['only_first']:,}",
        "only in B": f"{found['only_second']:,}",
        "largest difference": _number(found["max"]),
        "mean difference": _number(found["mean"]),
        "worst cosine": _number(found["worst_cosine"], 7),
        "worst SQNR, dB": _number(found["worst_sqnr_db"]),
        "same argmax": "" if agreement is None else f"{found['same_argmax']:,} of {found['rows']:,} rows",
    }
    return Table("outputs", ("", ""), [pair for pair in facts.items() if pair[1]])


def worst(comparison: OutputComparison) -> Table:
    """Return the files that differ most, those first that cannot be compared."""
    columns = ("", "shape", "largest", "mean", "cosine", "SQNR, dB", "same argmax", "")
    chosen = sorted((each for each in comparison.differences if each.exceeds(0)), key=_order)[:WORST]
    rows = [
        (
            each.name,
            " x ".join(map(str, each.shape)),
            _number(each.max),
            _number(each.mean),
            _number(each.cosine, 7),
            _number(each.sqnr_db),
            f"{each.same_argmax:,} of {each.rows:,}" if each.rows else "",
            each.problem or (f"{each.not_finite:,} not finite" if each.not_finite else ""),
        )
        for each in chosen
    ]
    return Table("files that differ most", columns, rows)


def _order(each: Difference) -> tuple[bool, int, float]:
    return each.problem is None, -each.not_finite, -(each.max or 0.0)


def _pair(pair: tuple[float, float] | None) -> Sequence[str]:
    return ("", "") if pair is None else [f"{value:,.2f}" for value in pair]


def _number(value: float | None, digits: int = 4) -> str:
    return "" if value is None else f"{value:.{digits}g}"


def _spell(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_spell, value))
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
