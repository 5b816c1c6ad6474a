"""Draws the range of the first, the last and all other tokens at each input of the 8-bit layers of a model.

``bertc statistics collect MODEL -o minilm.statistics`` collects what calibration sees, then
``python benchmarks/sinks.py minilm.statistics -o docs/plots/minilm-sinks.png`` draws it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from bertc.ir.formulas import FIRST, LAST, OTHER
from bertc.quantize.statistics import EdgeStatistics, Statistics

Array = np.ndarray[Any, Any]

SERIES = {
    "other tokens": ("black", "-"),
    "first token, shift of all": ("tab:red", "-"),
    "first token, its own shift": ("tab:red", ":"),
    "last token, shift of all": ("tab:blue", "-"),
    "last token, its own shift": ("tab:blue", ":"),
}
KINDS = {
    "Q, K and V": ("embeddings.LayerNorm", "output.LayerNorm"),
    "first feed-forward matrix": ("attention.output.LayerNorm",),
    "second feed-forward matrix": ("intermediate.dense",),
}
"""Inputs of layers, by the endings of their names, in the order in which they are looked for."""


def ranges(edge: EdgeStatistics) -> tuple[float, ...]:
    """Return the root mean square range of a row for each of ``SERIES``."""
    others = edge.sample[edge.sample_places == OTHER]
    rows = [others - edge.mean]
    for place, sample in ((FIRST, edge.first), (LAST, edge.last)):
        rows += [sample - edge.mean, sample - edge.means[place]]
    return tuple(float(np.sqrt((np.ptp(each, axis=1) ** 2).mean())) for each in rows)


def group(statistics: Statistics) -> dict[str, list[tuple[float, ...]]]:
    """Return the ranges at each layer, by the kind of input."""
    found: dict[str, list[tuple[float, ...]]] = {kind: [] for kind in KINDS}
    for name, edge in statistics.edges.items():
        ends = {kind: max((len(e) for e in KINDS[kind] if name.endswith(e)), default=0) for kind in KINDS}
        kind = max(ends, key=lambda each: ends[each])
        if ends[kind] and edge.counts[LAST]:
            found[kind].append(ranges(edge))
    return found


def main() -> None:
    """Draw one panel for each kind of input."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("statistics", type=Path, help="what bertc statistics collect wrote")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    found = group(Statistics.load(args.statistics))
    figure, panels = pyplot.subplots(1, len(found), figsize=(11, 3.4), sharey=True)
    for panel, (kind, layers) in zip(panels, found.items(), strict=True):
        for (label, (color, line)), values in zip(SERIES.items(), zip(*layers, strict=True), strict=True):
            panel.plot(np.maximum(values, 1e-3), color=color, linestyle=line, marker="o", label=label)
        panel.set(title=f"input of {kind}", xlabel="layer", yscale="log", xticks=range(len(layers)))
    panels[0].set_ylabel("range of the channels of a token")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=len(SERIES), frameon=False, fontsize=8)
    figure.tight_layout(rect=(0, 0.07, 1, 1))
    figure.savefig(args.output, dpi=110)


if __name__ == "__main__":
    main()
