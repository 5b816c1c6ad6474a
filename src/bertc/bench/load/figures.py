"""The figures of a case: rates from the wall's time, percentiles over all requests of all instances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from bertc.bench.load.generator import Trace
from bertc.bench.timing import Count

Array = np.ndarray[Any, Any]

PERCENTILES = (50, 90, 95, 99)
LATE = 0.05
"""If the last answer comes later after the last request than this share of the time before, the queue grew:
requests arrived 5 % faster than they were answered."""


class Measured(NamedTuple):
    """A round of a case: what each instance did, and the energy of all of it, or None."""

    traces: Sequence[Trace]
    joules: float | None


@dataclass(frozen=True)
class Work:
    """The requests of a case, in arrays with an entry for each."""

    samples: Array
    tokens: Array
    """The tokens without padding, which counts for nobody."""
    computed: Array
    """The tokens with what fills sequences up."""
    operations: Array
    """Those of the tokens that there are, as :func:`bertc.bench.work.operations` counts."""

    @classmethod
    def of(cls, count: Count, requests: Sequence[tuple[int, tuple[int, ...]]], length: int | None) -> Work:
        """Return the work of requests: of each the samples, and the tokens of its sequences."""
        lengths = [each for _, each in requests]
        return cls(
            np.array([samples for samples, _ in requests]),
            np.array([sum(each) for each in lengths]),
            np.array([sum(max(tokens, length or 0) for tokens in each) for each in lengths]),
            np.array([count(each) for each in lengths], np.float64),
        )


def figures(work: Work, rounds: Sequence[Measured], offered: float | None) -> dict[str, Any]:
    """Return the figures of the rounds of a case; ``offered`` is the rate of an open loop.

    Percentiles are of latency, in milliseconds. Requests that were given up count with the time that they
    had waited, so that their percentiles are lower bounds.
    """
    traces = [trace for each in rounds for trace in each.traces]
    latency = 1000 * np.concatenate([trace.ended - trace.due for trace in traces])
    service = 1000 * np.concatenate([trace.ended - trace.began for trace in traces])
    served = np.concatenate([trace.served for trace in traces])
    seconds = [max(float(trace.ended.max(initial=0)) for trace in each.traces) for each in rounds]
    done = [np.concatenate([trace.request[trace.served] for trace in each.traces]) for each in rounds]
    all_done, total = np.concatenate(done), sum(seconds)
    rates = [float(work.samples[each].sum()) / span for each, span in zip(done, seconds, strict=True)]
    low, rate, high = (float(value) for value in np.percentile(rates, [25, 50, 75]))
    samples, tokens = int(work.samples[all_done].sum()), int(work.tokens[all_done].sum())
    computed = int(work.computed[all_done].sum())
    # A rate of anything is that of samples times how much of it there is in one.
    each = rate / samples if samples else 0.0
    found: dict[str, Any] = {
        "requests": len(all_done),
        "samples": samples,
        "seconds": total,
        "samples_per_second": rate,
        "spread": (high - low) / rate if len(rates) > 1 and rate else None,
        "requests_per_second": len(all_done) * each,
        "tokens_per_second": tokens * each,
        "tokens_per_sample": tokens / samples if samples else None,
        "padding_percent": 100 * (1 - tokens / computed) if computed else 0.0,
        "gops": float(work.operations[all_done].sum()) * each / 1e9,
        "min_ms": float(latency.min(initial=np.inf)),
        "mean_ms": float(latency.mean()),
        **_percentiles("", latency),
        "max_ms": float(latency.max(initial=0)),
    }
    if offered is not None:
        found["offered_per_second"] = offered
        found["given_up"] = int((~served).sum())
        found["keeps_up"] = bool(served.all()) and _keeps_up(traces)
        found |= _percentiles("service_", service[served] if served.any() else service)
    joules = [each.joules for each in rounds if each.joules is not None]
    if joules:
        found["energy"] = {
            "joules": sum(joules),
            "watts": sum(joules) / total,
            "joules_per_sample": sum(joules) / samples if samples else None,
        }
    return found


def _keeps_up(traces: Sequence[Trace]) -> bool:
    """Tell whether the last requests were answered about as soon as they came.

    Three of the longest services may stand before the last request of a queue that does not grow.
    """
    arrived, ended = (
        max(float(times.max(initial=0)) for times in each)
        for each in ([trace.due for trace in traces], [trace.ended for trace in traces])
    )
    longest = max(float((trace.ended - trace.began).max(initial=0)) for trace in traces)
    return ended - arrived <= max(LATE * arrived, 3 * longest)


def _percentiles(prefix: str, milliseconds: Array) -> dict[str, float]:
    values = np.percentile(milliseconds, PERCENTILES)
    return {f"{prefix}p{each}_ms": float(value) for each, value in zip(PERCENTILES, values, strict=True)}
