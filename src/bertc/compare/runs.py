"""Compares two saved runs: of ``bertc load-test``, or of ``bertc bench``, row by row."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bertc.errors import InputError

FORMATS = {"load-test": 1, "bench": 1}
"""The formats that are understood, by what wrote them."""
SPEED = "samples_per_second"
TIMES = ("p50_ms", "p90_ms", "p95_ms", "p99_ms")
ENERGY = "joules_per_sample"
CIRCUMSTANCES = ("file", "model", "machine", "settings", "versions", "commit")
"""The parts of a report that say what was measured where, in the order in which they are shown."""


@dataclass(frozen=True)
class Row:
    """What a run measured in one case."""

    figures: Mapping[str, float]
    """Of ``SPEED``, ``TIMES`` and ``ENERGY`` those that there are."""
    spread: float | None = None
    """The distance of the quartiles of the speed over the rounds, as a share of it."""
    scores: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """One saved run."""

    path: Path
    facts: Mapping[str, Any]
    """The circumstances, by dotted names."""
    rows: Mapping[str, Row]
    complete: bool


@dataclass(frozen=True)
class RunComparison:
    """Two runs side by side: ratios are those of the second to the first."""

    first: Run
    second: Run

    @property
    def shared(self) -> list[str]:
        """The names of the rows that both have, in the order of the first."""
        return [name for name in self.first.rows if name in self.second.rows]

    @property
    def only(self) -> tuple[list[str], list[str]]:
        """The names of the rows that one run alone has: the first, the second."""
        one, other = self.first.rows, self.second.rows
        return [name for name in one if name not in other], [name for name in other if name not in one]

    @property
    def changed(self) -> dict[str, tuple[Any, Any]]:
        """The circumstances that are not the same in both; None for one that a run does not have."""
        names = dict.fromkeys([*self.first.facts, *self.second.facts])
        pairs = {name: (self.first.facts.get(name), self.second.facts.get(name)) for name in names}
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}

    def pair(self, name: str, figure: str) -> tuple[float, float] | None:
        """Return a figure of a row in both runs; None if one of them lacks it."""
        found = [run.rows[name].figures.get(figure) for run in (self.first, self.second)]
        return None if found[0] is None or found[1] is None else (found[0], found[1])

    def ratio(self, name: str, figure: str) -> float | None:
        """Return the second's figure over the first's; None without both, or over 0."""
        pair = self.pair(name, figure)
        return pair[1] / pair[0] if pair is not None and pair[0] else None

    def noise(self, name: str) -> float | None:
        """Return the larger spread of the two: a change of speed by less tells nothing. None if unknown."""
        spreads = [run.rows[name].spread for run in (self.first, self.second)]
        return max((each for each in spreads if each is not None), default=None)

    @property
    def speedup(self) -> float | None:
        """The median over the shared rows of the ratios of their speeds."""
        ratios = [self.ratio(name, SPEED) for name in self.shared]
        known = [each for each in ratios if each is not None]
        return statistics.median(known) if known else None

    def scores(self, name: str) -> dict[str, tuple[float, float]]:
        """Return the scores of a row that both runs have."""
        one, other = (run.rows[name].scores for run in (self.first, self.second))
        return {metric: (one[metric], other[metric]) for metric in one if metric in other}

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON."""
        return {
            "first": str(self.first.path),
            "second": str(self.second.path),
            "incomplete": [str(run.path) for run in (self.first, self.second) if not run.complete],
            "speedup": self.speedup,
            "changed": {name: list(pair) for name, pair in self.changed.items()},
            "rows": [
                {
                    "name": name,
                    **{
                        figure: {"first": pair[0], "second": pair[1], "ratio": self.ratio(name, figure)}
                        for figure in (SPEED, *TIMES, ENERGY)
                        if (pair := self.pair(name, figure)) is not None
                    },
                    "noise": self.noise(name),
                    "scores": {
                        metric: {"first": one, "second": other, "difference": other - one}
                        for metric, (one, other) in self.scores(name).items()
                    },
                }
                for name in self.shared
            ],
            "only_first": self.only[0],
            "only_second": self.only[1],
        }


def compare_runs(first: Path, second: Path) -> RunComparison:
    """Compare two files that ``--save`` has written.

    Raises ``InputError`` for other files, and for two without a row in common.
    """
    found = RunComparison(read_run(first), read_run(second))
    if not found.shared:
        examples = " and ".join(repr(next(iter(run.rows), "none")) for run in (found.first, found.second))
        raise InputError(f"{first} and {second} have no row in common: they have {examples}, for example")
    return found


def read_run(path: Path) -> Run:
    """Read a run. Raises ``InputError`` for a file that is none, or of a newer format."""
    try:
        content = json.loads(path.read_text("utf-8"))
        kind = content.get("kind", "bench")
        if content["format"] != FORMATS.get(kind):
            raise InputError(
                f"{path} has format {content['format']} of bertc {kind}, which this version does not read"
            )
        reports = [content] if kind == "load-test" else content["reports"]
        rows = dict(_load_rows(content) if kind == "load-test" else _bench_rows(reports))
        facts = [fact for name in CIRCUMSTANCES for fact in _flat(name, reports[0].get(name))]
        return Run(path, dict(facts), rows, all(report["complete"] for report in reports))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is no run that bertc load-test or bertc bench has saved") from None


def _load_rows(report: Mapping[str, Any]) -> Iterator[tuple[str, Row]]:
    for row in report["rows"]:
        length = "real length" if row["length"] is None else row["length"]
        alone = ", model alone" if row["scope"] == "kernel" else ""
        figures = {name: row[name] for name in (SPEED, *TIMES)}
        if "energy" in row:
            figures[ENERGY] = row["energy"][ENERGY]
        scores = {} if alone or row["scores"] is None else row["scores"]["metrics"]
        yield f"{row['batch']} x {length}{alone}", Row(figures, row["spread"], scores)


def _bench_rows(reports: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Row]]:
    """Yield the rows of all reports; the name of an engine or model is told where there are several."""
    for report in reports:
        model = f"{report['model']['name']}, {report['settings']['threads']} threads: "
        prefix = model if len(reports) > 1 else ""
        several = len(report["engines"]) > 1
        scores = {each["engine"]: {"spearman": each["spearman"]} for each in report["accuracy"]}
        for row in (*report["shapes"], *report["texts"]):
            work = row["mode"] if "mode" in row else f"{row['batch']} x {row['length']}"
            engine = f"{row['engine']}, " if several else ""
            figures = {name: row[name] for name in TIMES if name in row}
            figures[SPEED] = row["sequences_per_second"]
            of_texts = scores.get(row["engine"], {}) if row.get("mode") == "sorted" else {}
            yield f"{prefix}{engine}{work}", Row(figures, row["spread"], of_texts)


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(f"{name}.{key}", inner)
    else:
        yield name, value
