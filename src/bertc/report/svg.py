"""The little SVG that the charts need: scales, ticks, and elements whose text is escaped.

Colors come from the page's style sheet by class, so that one drawing serves light and dark.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

SMALLEST_SPAN = 1e-290
"""The shortest axis: the power of ten below the steps of a shorter one would be 0."""


class Scale:
    """Maps numbers to pixels linearly; what lies outside is drawn at the edge."""

    def __init__(self, low: float, high: float, start: float, stop: float) -> None:
        if not (math.isfinite(high - low) and high - low > SMALLEST_SPAN):
            low, high = (low - 1, low + 1) if abs(low) < 1e15 else (-1.0, 1.0)
        self.low, self.high, self._start, self._stop = low, high, start, stop

    def __call__(self, value: float) -> float:
        """Return where a value is, in pixels."""
        share = (value - self.low) / (self.high - self.low)
        return self._start + min(max(share, 0.0), 1.0) * (self._stop - self._start)

    def ticks(self, count: int = 6) -> list[float]:
        """Return about ``count`` round numbers inside: multiples of 1, 2 or 5 times a power of ten."""
        rough = (self.high - self.low) / count
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]


def spell(value: float) -> str:
    """Return a number as an axis shows it."""
    return f"{value:.4g}"


def element(name: str, content: str | Iterable[str] = "", **attributes: str | float) -> str:
    """Return an element; ``content`` is markup. ``class_`` is class, and ``_`` in other names is ``-``."""
    spelled = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"' for key, value in attributes.items()
    )
    inner = content if isinstance(content, str) else "".join(content)
    return f"<{name}{spelled}>{inner}</{name}>"


def text(label: str, x: float, y: float, *, anchor: str = "start", class_: str = "label", **more: str) -> str:
    """Return text at a point; ``anchor`` is start, middle or end."""
    return element("text", escape(label), x=x, y=y, text_anchor=anchor, class_=class_, **more)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> str:
    """Return a line between two points."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def titled(shape: str, hint: str) -> str:
    """Return a shape that shows a hint when it is pointed at."""
    return element("g", (element("title", escape(hint)), shape))


def picture(parts: Sequence[str], width: float, height: float, description: str) -> str:
    """Return the whole drawing; ``description`` is for those who cannot see it."""
    return element(
        "svg",
        parts,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width:g} {height:g}",
        role="img",
        aria_label=escape(description, quote=True),
        style=f"max-width:{width:g}px",
    )


def _value(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.6g}"
