"""Plots of a report: throughput by shape, real text, accuracy against speed; with the extra ``plot``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bertc.bench.engine import OURS, TEXT_MODES
from bertc.bench.work import INT8_FOURS
from bertc.errors import MissingExtraError
from bertc.precision import BF16, FP32, INT8

Report = Mapping[str, Any]

COLORS = {
    OURS: "#c1121f",
    "openvino": "#0f4c81",
    "onnxruntime": "#5b8e3e",
    "transformers": "#e08e0b",
    "ctranslate2": "#7b5ea7",
}
LINES = {INT8: "-", INT8_FOURS: "-.", BF16: "--", FP32: ":"}
HATCHES = {INT8: "", INT8_FOURS: "\\\\", BF16: "//", FP32: ".."}
MODES = ("one_call", "sorted", "unsorted", "single")
"""The ways to run texts, of ``TEXT_MODES``, in the order in which they are shown."""
MARKERS = {INT8: "o", INT8_FOURS: "v", BF16: "s", FP32: "^"}


def save_plots(report: Report, folder: Path, prefix: str = "") -> list[Path]:
    """Write the plots that the report has figures for, and return their paths."""
    pyplot = _pyplot()
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, draw, needed in (
        ("throughput", draw_throughput, ("shapes",)),
        ("texts", draw_texts, ("texts",)),
        ("accuracy", draw_accuracy, ("texts", "accuracy")),
    ):
        if all(report[key] for key in needed):
            figure = draw(report, pyplot)
            figure.suptitle(_title(report), fontsize=10)
            path = folder / f"{prefix}{name}.png"
            figure.savefig(path, dpi=130)
            pyplot.close(figure)
            written.append(path)
    return written


def draw_throughput(report: Report, pyplot: Any) -> Any:
    """Draw a panel for each length: GOP/s by batch size, with the machine's limits."""
    lengths = sorted({row["length"] for row in report["shapes"]})
    figure, panels = pyplot.subplots(
        1, len(lengths), figsize=(4.2 * len(lengths) + 2, 4.4), sharey=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for panel, length in zip(panels[0], lengths, strict=True):
        for engine in report["engines"]:
            rows = [
                row for row in report["shapes"] if row["engine"] == engine["name"] and row["length"] == length
            ]
            rows.sort(key=lambda row: row["batch"])
            panel.plot(
                [row["batch"] for row in rows],
                [row["gops"] for row in rows],
                LINES.get(engine["dtype"], "-"),
                color=_color(engine),
                marker=".",
                linewidth=2.5 if engine["library"] == OURS else 1.2,
                label=engine["name"],
            )
        batches = sorted({row["batch"] for row in report["shapes"]})
        panel.set_xscale("log", base=2)
        panel.set_xticks(batches, [str(batch) for batch in batches])
        panel.set_xlabel("sequences per run")
        panel.set_title(f"{length} tokens", fontsize=10)
        _draw_limits(panel, report)
        panel.set_ylim(bottom=0)
        panel.grid(alpha=0.3)
    panels[0][0].set_ylabel("GOP/s")
    figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside right center", fontsize=8)
    return figure


def draw_texts(report: Report, pyplot: Any) -> Any:
    """Draw bars: texts per second of each engine, for each way to run them."""
    modes = [mode for mode in MODES if any(row["mode"] == mode for row in report["texts"])]
    figure, panels = pyplot.subplots(
        1, len(modes), figsize=(3.2 * len(modes) + 1.5, 0.32 * len(report["engines"]) + 1.8), sharex=True,
        sharey=True, squeeze=False, layout="constrained",
    )  # fmt: skip
    engines = list(reversed(report["engines"]))
    for panel, mode in zip(panels[0], modes, strict=True):
        speeds = _speeds(report, mode)
        for place, engine in enumerate(engines):
            speed = speeds.get(engine["name"], 0.0)
            hatch = HATCHES.get(engine["dtype"], "")
            panel.barh(place, speed, color=_color(engine), hatch=hatch, edgecolor="white")
            if speed:
                panel.annotate(f" {speed:,.0f}", (speed, place), va="center", fontsize=7)
        panel.set_yticks(range(len(engines)), [engine["name"] for engine in engines], fontsize=8)
        panel.set_title(TEXT_MODES[mode].title, fontsize=9)
        panel.set_xlabel("texts/s, tokenizing included", fontsize=8)
        panel.margins(x=0.18)
    return figure


def draw_accuracy(report: Report, pyplot: Any) -> Any:
    """Draw Spearman, and cosine to fp32, against the fastest way to run many texts."""
    figure, panels = pyplot.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
    one_call, batched = _speeds(report, "one_call"), _speeds(report, "sorted")
    accuracy = {row["engine"]: row for row in report["accuracy"]}
    for engine in report["engines"]:
        name = engine["name"]
        speed = max(one_call.get(name, 0.0), batched.get(name, 0.0))
        values = (accuracy[name]["spearman"], accuracy[name]["mean_cosine"])
        for panel, value in zip(panels, values, strict=True):
            if value is not None:
                marker = MARKERS.get(engine["dtype"], "o")
                panel.scatter(speed, value, color=_color(engine), marker=marker, s=60, label=name)
    for panel, label in zip(panels, ("Spearman x 100", "mean cosine to fp32"), strict=True):
        panel.set_xlabel("texts/s, the faster of sorted batches and one call")
        panel.set_ylabel(label)
        panel.set_xlim(left=0)
        panel.margins(y=0.15)
        panel.ticklabel_format(axis="y", useOffset=False)
        panel.grid(alpha=0.3)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center", fontsize=8)
    return figure


def _draw_limits(panel: Any, report: Report) -> None:
    if report["peaks"] is None:
        return
    best = {
        dtype: max(row[dtype] for row in report["peaks"]["gops"].values() if dtype in row)
        for dtype in {engine["dtype"] for engine in report["engines"]}
    }
    for dtype, value in best.items():
        panel.axhline(value, color="gray", linewidth=0.8, linestyle=LINES.get(dtype, "-"))
        note = panel.annotate(
            f"{dtype} limit", (0.02, value), xycoords=("axes fraction", "data"), va="bottom", fontsize=7,
            color="gray",
        )  # fmt: skip
        note.set_in_layout(False)


def _speeds(report: Report, mode: str) -> dict[str, float]:
    return {row["engine"]: row["sequences_per_second"] for row in report["texts"] if row["mode"] == mode}


def _color(engine: Mapping[str, Any]) -> str:
    return COLORS.get(engine["library"], "gray")


def _title(report: Report) -> str:
    machine, threads = report["machine"], report["settings"]["threads"]
    isas: Sequence[str] = machine["isas"]
    return f"{report['model']['name']}, {machine['processor']} ({isas[-1]}), {threads} threads"


def _pyplot() -> Any:
    try:
        import matplotlib
    except ImportError:
        raise MissingExtraError("matplotlib", "plot", "drawing plots") from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot
