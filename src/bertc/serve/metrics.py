"""Counters and histograms as Prometheus reads them, by the names of text-embeddings-inference."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping

from bertc.serve.call import Call

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
TOKENS = (8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
MAX_RECENT = 256
"""The most requests that wait to be counted."""

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
        self._recent: list[tuple[Call, float]] = []
        """Requests that were answered and are not counted yet, and the seconds that they took."""
        self._answered: dict[tuple[str, bool, str], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
        """By route, whether for a batch, and model: requests, inputs, tokens and inputs that were cut."""
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
        return self._totals()[name, tuple(labels.items())]

    def succeeded(self, call: Call) -> None:
        """Count a request that was answered: soon, as it costs less to count many in a row."""
        self._recent.append((call, call.seconds))
        if len(self._recent) >= MAX_RECENT:
            self._count_recent()

    def _count_recent(self) -> None:
        duration, tokenization, queue, inference, length = self._histograms.values()
        for call, seconds in self._recent:
            answered = self._answered[call.route, call.is_batch, call.model]
            answered[0] += 1
            if not call.model:
                continue
            answered[1] += call.items
            answered[2] += call.tokens
            answered[3] += call.truncated
            duration.observe(seconds)
            tokenization.observe(call.tokenization_s)
            queue.observe(call.queue_s)
            inference.observe(call.inference_s)
            length.observe(call.tokens)
        self._recent.clear()

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
        for (name, labels), count in sorted(self._totals().items()):
            shown = ",".join(f'{key}="{_escaped(value)}"' for key, value in labels)
            named[name].append(f"{name}{{{shown}}} {count}" if shown else f"{name} {count}")
        for name, found in named.items():
            lines += [f"# TYPE {name} counter", *found]
        for name, histogram in self._histograms.items():
            lines += [f"# TYPE {name} histogram", *histogram.lines(name)]
        return "\n".join(lines) + "\n"

    def _totals(self) -> dict[Key, int]:
        """Return all counters, with those that requests that were answered have gone up by."""
        self._count_recent()
        totals = self._counters.copy()
        for (route, is_batch, model), (requests, inputs, tokens, truncated) in self._answered.items():
            method = (("method", "batch" if is_batch else "single"),)
            totals["te_request_count", method] += requests
            totals["te_request_success", method] += requests
            totals["bertc_route_requests", (("route", route), ("status", "200"))] += requests
            if model:
                labels = (("model", model),)
                totals["bertc_model_inputs", labels] += inputs
                totals["bertc_model_tokens", labels] += tokens
                totals["bertc_truncated_inputs", labels] += truncated
        return totals


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
