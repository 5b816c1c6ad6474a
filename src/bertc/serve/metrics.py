"""Counters and histograms as Prometheus reads them, by the names of text-embeddings-inference."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cache

from bertc.serve.call import Call

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
TOKENS = (8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)

Labels = tuple[tuple[str, str], ...]
Key = tuple[str, Labels]
"""A counter: its name and its labels."""


class Histogram:
    """How often a value was at most each bound."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def lines(self, name: str) -> Iterable[str]:
        """Yield the lines of a scrape."""
        total = 0
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            total += count
            label = "+Inf" if bound == float("inf") else f"{bound:g}"
            yield f'{name}_bucket{{le="{label}"}} {total}'
        yield f"{name}_sum {self.sum:.9g}"
        yield f"{name}_count {total}"


class Metrics:
    """What the server counts of its requests. For use by one event loop."""

    def __init__(self) -> None:
        self.in_flight = 0
        """The requests that have begun and not ended."""
        self._counters: dict[Key, int] = defaultdict(int)
        self._histograms = {
            "te_request_duration": Histogram(SECONDS),
            "te_request_tokenization_duration": Histogram(SECONDS),
            "te_request_queue_duration": Histogram(SECONDS),
            "te_request_inference_duration": Histogram(SECONDS),
            "te_request_input_length": Histogram(TOKENS),
        }

    def count(self, name: str, amount: int = 1, **labels: str) -> None:
        """Add to a counter."""
        self._counters[name, tuple(labels.items())] += amount

    def total(self, name: str, **labels: str) -> int:
        """Return a counter."""
        return self._counters[name, tuple(labels.items())]

    def succeeded(self, call: Call) -> None:
        """Count a request that was answered."""
        counters = self._counters
        for key in _requests_of(call.route, call.is_batch):
            counters[key] += 1
        if not call.model:
            return
        inputs, tokens, truncated = _amounts_of(call.model)
        counters[inputs] += call.items
        counters[tokens] += call.tokens
        counters[truncated] += call.truncated
        seconds = call.seconds, call.tokenization_s, call.queue_s, call.inference_s
        for histogram, value in zip(self._histograms.values(), (*seconds, call.tokens), strict=True):
            histogram.observe(value)

    def failed(self, call: Call, status: int, error_type: str) -> None:
        """Count a request that was refused, or whose client went away (499)."""
        self.count("te_request_count", method="batch" if call.is_batch else "single")
        self.count("te_request_failure", err=error_type.lower())
        self.count("bertc_route_requests", route=call.route or "unknown", status=str(status))

    def text(self, gauges: Mapping[str, float], totals: Mapping[str, float]) -> str:
        """Return a scrape: with values of the moment, and totals that others have counted."""
        lines: list[str] = []
        for name, value in gauges.items():
            lines += [f"# TYPE {name} gauge", f"{name} {value:g}"]
        for name, value in totals.items():
            lines += [f"# TYPE {name} counter", f"{name} {value:.15g}"]
        named: dict[str, list[str]] = defaultdict(list)
        for (name, labels), count in sorted(self._counters.items()):
            shown = ",".join(f'{key}="{_escaped(value)}"' for key, value in labels)
            named[name].append(f"{name}{{{shown}}} {count}" if shown else f"{name} {count}")
        for name, found in named.items():
            lines += [f"# TYPE {name} counter", *found]
        for name, histogram in self._histograms.items():
            lines += [f"# TYPE {name} histogram", *histogram.lines(name)]
        return "\n".join(lines) + "\n"


@cache
def _requests_of(route: str, is_batch: bool) -> tuple[Key, ...]:
    """Return the counters that go up by one with a request that was answered."""
    method = (("method", "batch" if is_batch else "single"),)
    return (
        ("te_request_count", method),
        ("te_request_success", method),
        ("bertc_route_requests", (("route", route), ("status", "200"))),
    )


@cache
def _amounts_of(model: str) -> tuple[Key, Key, Key]:
    labels = (("model", model),)
    return ("bertc_model_inputs", labels), ("bertc_model_tokens", labels), ("bertc_truncated_inputs", labels)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
