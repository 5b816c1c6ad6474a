"""The charts of a report, each from one part of the certificate to one SVG drawing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from bertc.artifact.certificate import Agreement, EdgeRange, LayerFidelity, Sensitivity
from bertc.fidelity import LARGEST_DB
from bertc.report.svg import Scale, element, line, picture, spell, text, titled

WIDTH = 860
LABELS = 300
"""The pixels to the left of a bar, for the name of its layer."""

ROW = 17


def layer_bars(layers: Sequence[LayerFidelity]) -> str:
    """Draw a bar for each layer, as long as its signal-to-noise ratio; the color is its precision."""
    measured = [layer.sqnr_db for layer in layers if layer.sqnr_db < LARGEST_DB]
    highest = 10 * math.ceil(max([*measured, 10.0]) / 10)
    scale = Scale(0, highest, LABELS, WIDTH - 50)
    parts = list(_vertical_axis(scale, 0, len(layers) * ROW, " dB"))
    for index, layer in enumerate(layers):
        exact = layer.sqnr_db >= LARGEST_DB
        spelled = "exact" if exact else f"{layer.sqnr_db:.1f}"
        hint = f"{layer.name}: {layer.op} in {layer.precision}, {spelled} dB"
        parts += _bar(
            layer.name, index, scale, layer.sqnr_db, f"bar {_class_name(layer.precision)}", spelled, hint
        )
    return picture(parts, WIDTH, len(layers) * ROW + 24, "signal to quantization noise of each layer")


def sensitivity_bars(effects: Sequence[Sensitivity], most: int = 30) -> str:
    """Draw a bar for each of the nodes that cost most when they alone are quantized."""
    worst = sorted(effects, key=lambda effect: -effect.loss)[:most]
    scale = Scale(0, max([effect.loss for effect in worst], default=1.0), LABELS, WIDTH - 60)
    parts = list(_vertical_axis(scale, 0, len(worst) * ROW, ""))
    for index, effect in enumerate(worst):
        hint = f"{effect.name} alone in {effect.precision}: {effect.loss:.3g}, {effect.sqnr_db:.1f} dB"
        kind = f"bar {_class_name(effect.precision)}"
        parts += _bar(effect.name, index, scale, effect.loss, kind, f"{effect.loss:.2g}", hint)
    return picture(parts, WIDTH, len(worst) * ROW + 24, "loss that each node causes alone")


def paired_bars(pairs: Sequence[tuple[str, float, float]], unit: str) -> str:
    """Draw two bars for each name, one below the other."""
    scale = Scale(0, max([value for _, *both in pairs for value in both], default=1.0), LABELS, WIDTH - 70)
    height = (2 * len(pairs) + len(pairs) / 2) * ROW
    parts = list(_vertical_axis(scale, 0, height, ""))
    for index, (name, first, second) in enumerate(pairs):
        hint = f"{name}: {spell(first)} and {spell(second)} {unit}"
        parts += _bar(name, 2.5 * index, scale, first, "bar fp32", spell(first), hint)
        parts += _bar("", 2.5 * index + 1, scale, second, "bar int8", spell(second), hint)
    return picture(parts, WIDTH, height + 24, unit)


def agreement_scatter(agreement: Agreement) -> str:
    """Draw each number by this file against the same by the fp32 model, and the difference of the two."""
    points = list(zip(agreement.expected, agreement.found, strict=False))
    values = [value for point in points for value in point] or [0.0]
    both = min(values), max(values)
    shifted = [(expected, found - expected) for expected, found in points]
    reach = max([abs(difference) for _, difference in shifted], default=0.0) * 1.1
    side = 320.0
    left = _plane(70, side, both, both, "this file", points)
    diagonal = line(70, 10 + side, 70 + side, 10, "guide")
    right = _plane(520, side, both, (-reach, reach), "this file - fp32", shifted)
    level = line(520, 10 + side / 2, 520 + side, 10 + side / 2, "guide")
    what = f"{agreement.what}, by this file against fp32"
    return picture([diagonal, level, *left, *right], WIDTH, side + 60, what)


def confusion_grid(labels: Sequence[str], counts: Sequence[Sequence[int]], most: int = 25) -> str:
    """Draw a square for each pair of classes: by row the right one, by column the one that was said.

    ``counts`` [labels, labels]; of more than ``most`` classes, those with most errors are drawn.
    """
    errors = [
        sum(counts[index]) + sum(row[index] for row in counts) - 2 * counts[index][index]
        for index in range(len(labels))
    ]
    shown = sorted(sorted(range(len(labels)), key=lambda index: -errors[index])[:most])
    side = min(64.0, (WIDTH - LABELS) / max(len(shown), 1))
    parts = []
    for y, row in enumerate(shown):
        total = max(sum(counts[row]), 1)
        parts.append(
            text(
                _shorten(labels[row], 40), LABELS - 8, (y + 0.5) * side + 4, anchor="end", class_="label name"
            )
        )
        for x, column in enumerate(shown):
            count = counts[row][column]
            kind = "point" if row == column else "cut"
            left, top = LABELS + x * side, y * side
            cell = element("rect", x=left, y=top, width=side - 1, height=side - 1, class_="cell")
            cell += element(
                "rect",
                x=left,
                y=top,
                width=side - 1,
                height=side - 1,
                class_=kind,
                style=f"fill-opacity:{count / total:.3f}",
            )
            cell += text(f"{count:,}", left + side / 2, top + side / 2 + 4, anchor="middle") if count else ""
            parts.append(titled(cell, f"{labels[row]} taken for {labels[column]}: {count:,} of {total:,}"))
    bottom = len(shown) * side
    for x, column in enumerate(shown):
        at = LABELS + (x + 0.5) * side
        turned = f"rotate(-60 {at:g} {bottom + 14:g})"
        parts.append(text(_shorten(labels[column], 20), at, bottom + 14, anchor="end", transform=turned))
    return picture(parts, WIDTH, bottom + 120, "which class was taken for which")


def range_histogram(edge: EdgeRange) -> str:
    """Draw how often values of each size were seen at an edge (heights are logarithms), and the clip."""
    width, height = 270.0, 96.0
    scale = Scale(edge.low, edge.high, 8, width - 8)
    highest = math.log1p(max([*edge.counts, 1]))
    columns = max(len(edge.counts), 1)
    step = (width - 16) / columns
    parts = []
    for index, count in enumerate(edge.counts):
        tall = (height - 34) * math.log1p(max(count, 0)) / highest
        parts.append(
            element("rect", x=8 + index * step, y=height - 18 - tall, width=step, height=tall, class_="bin")
        )
    for clip, start, stop in ((edge.clip_low, 8.0, None), (edge.clip_high, None, width - 8)):
        if clip is not None:
            at = scale(clip)
            edges = (start if start is not None else at, stop if stop is not None else at)
            parts.append(
                element("rect", x=edges[0], y=16, width=edges[1] - edges[0], height=height - 34, class_="cut")
            )
            parts.append(line(at, 16, at, height - 18, "clip"))
    parts.append(line(8, height - 18, width - 8, height - 18, "axis"))
    parts.append(text(spell(edge.low), 8, height - 5))
    parts.append(text(spell(edge.high), width - 8, height - 5, anchor="end"))
    parts.append(text(_shorten(edge.name, 44), 8, 11, class_="label name"))
    return picture([titled("".join(parts), _describe(edge))], width, height, _describe(edge))


def _describe(edge: EdgeRange) -> str:
    seen = f"{edge.name}: values from {spell(edge.low)} to {spell(edge.high)}"
    if edge.migration is not None or edge.largest_shift:
        seen += f" (before migration and shift {spell(edge.low_before)} to {spell(edge.high_before)})"
    if edge.clip_low is None or edge.clip_high is None:
        return f"{seen}, each token with its own range"
    return f"{seen}, clipped to {spell(edge.clip_low)} to {spell(edge.clip_high)}"


def _bar(
    name: str, index: float, scale: Scale, value: float, class_: str, spelled: str, hint: str
) -> Iterator[str]:
    top, stop = index * ROW, scale(value)
    shape = element(
        "rect", x=LABELS, y=top + 2, width=max(stop - LABELS, 1.0), height=ROW - 5, rx=2, class_=class_
    )
    label = text(_shorten(name, 46), LABELS - 8, top + 12, anchor="end", class_="label name")
    yield titled(label + shape + text(spelled, stop + 5, top + 12), hint)


def _vertical_axis(scale: Scale, top: float, bottom: float, unit: str) -> Iterator[str]:
    for tick in scale.ticks():
        x = scale(tick)
        yield line(x, top, x, bottom, "grid")
        yield text(f"{spell(tick)}{unit}", x, bottom + 16, anchor="middle")


def _plane(
    left: float,
    side: float,
    across: tuple[float, float],
    up: tuple[float, float],
    title: str,
    points: Sequence[tuple[float, float]],
) -> Iterator[str]:
    """Draw points, the first numbers of which are by fp32 and the second as the title says."""
    x, y = Scale(*across, left, left + side), Scale(*up, 10 + side, 10)
    for tick in x.ticks():
        yield line(x(tick), 10, x(tick), 10 + side, "grid")
        yield text(spell(tick), x(tick), side + 26, anchor="middle")
    for tick in y.ticks():
        yield line(left, y(tick), left + side, y(tick), "grid")
        yield text(spell(tick), left - 6, y(tick) + 4, anchor="end")
    for first, second in points:
        yield element("circle", cx=x(first), cy=y(second), r=2.5, class_="point")
    yield text("fp32", left + side / 2, side + 46, anchor="middle", class_="label title")
    turned = f"rotate(-90 {left - 52:g} {10 + side / 2:g})"
    yield text(title, left - 52, 10 + side / 2, anchor="middle", class_="label title", transform=turned)


def _shorten(name: str, length: int) -> str:
    """Cut off the start of a long name: its end says more."""
    return name if len(name) <= length else "…" + name[1 - length :]


def _class_name(word: str) -> str:
    """Return the name of a precision as a class of the style sheet."""
    return "".join(letter for letter in word if letter.isalnum() and letter.isascii())
