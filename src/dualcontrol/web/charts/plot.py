"""The frame of a chart: two scales, a grid with its figures, a title and a description for who cannot see it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import floor, log10

from markupsafe import Markup

WIDTH, HEIGHT = 480.0, 230.0
LEFT, RIGHT, TOP, BOTTOM = 50.0, 14.0, 12.0, 40.0
Format = Callable[[float], str]


class Plot:
    """Where a value lies in a chart; what is outside its range lies on the edge."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float]) -> None:
        self.x_from, self.x_to = x[0], x[1] if x[1] > x[0] else x[0] + 1.0
        self.y_from, self.y_to = y[0], y[1] if y[1] > y[0] else y[0] + 1.0

    def x(self, value: float) -> float:
        """The place of a value along the chart."""
        return round(LEFT + (WIDTH - LEFT - RIGHT) * _share(value, self.x_from, self.x_to), 1)

    def y(self, value: float) -> float:
        """The place of a value up the chart."""
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * _share(value, self.y_from, self.y_to), 1)

    def grid(self, across: Format, up: Format, name: str, *, whole: bool = False) -> Markup:
        """Lines and figures of both axes; `name` stands under the lower one, which may count `whole` things."""
        bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
        line = Markup('<line class="chart-grid" x1="{}" x2="{}" y1="{y}" y2="{y}"/>')
        parts: list[Markup] = []
        for value in ticks(self.y_from, self.y_to):
            y = self.y(value)
            parts += [line.format(LEFT, right, y=y), _text("chart-figure", LEFT - 7, y + 4, "end", up(value))]
        for value in ticks(self.x_from, self.x_to, least=1.0 if whole else 0.0):
            parts.append(_text("chart-figure", self.x(value), bottom + 16, "middle", across(value)))
        parts.append(_text("chart-name", (LEFT + right) / 2, HEIGHT - 5, "middle", name))
        return Markup("").join(parts)


def svg(key: str, title: str, description: str, parts: Sequence[Markup]) -> Markup:
    """A chart from its parts; `key` is its own among those of a page."""
    head = Markup(
        '<svg class="chart" viewBox="0 0 {} {}" role="img" aria-labelledby="{k}-t {k}-d">'
        '<title id="{k}-t">{}</title><desc id="{k}-d">{}</desc>'
    ).format(f"{WIDTH:g}", f"{HEIGHT:g}", title, description, k=key)
    return head + Markup("").join(parts) + Markup("</svg>")


def ticks(low: float, high: float, about: int = 5, least: float = 0.0) -> list[float]:
    """Round values from `low` to `high`, about so many, at least so far apart."""
    wide = max((high - low) / about, least)
    size = 10.0 ** floor(log10(max(wide, 1e-300)))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= wide * 0.999)
    first = floor(low / step + 0.999)
    return [round(i * step, 10) for i in range(first, floor(high / step + 0.001) + 1)]


def shares(value: float) -> str:
    """A share as an axis has it: with all its digits."""
    return f"{100 * value:g} %"


def _share(value: float, low: float, high: float) -> float:
    return min(1.0, max(0.0, (value - low) / (high - low)))


def _text(kind: str, x: float, y: float, anchor: str, text: str) -> Markup:
    element = '<text class="{}" x="{}" y="{}" text-anchor="{}">{}</text>'
    return Markup(element).format(kind, f"{x:g}", f"{y:g}", anchor, text)


WIDE, HIGH = 120.0, 24.0


def spark(values: Sequence[float], label: str) -> Markup:
    """A sparkline, for where a chart would be too much: values between 0 and 1 as one small line; `label` says it."""
    if not values:
        return Markup("")
    last = max(1, len(values) - 1)
    points = " ".join(
        f"{1 + (WIDE - 2) * (i / last):.1f},{HIGH - 2 - (HIGH - 4) * _share(value, 0.0, 1.0):.1f}"
        for i, value in enumerate(values)
    )
    image = Markup(
        '<svg class="spark" viewBox="0 0 {} {}" role="img" aria-label="{}">'
        '<polyline class="chart-line" points="{}"/></svg>'
    )
    return image.format(f"{WIDE:g}", f"{HIGH:g}", label, points)


def whisker(low: float, estimate: float | None, high: float, bound: float, top: float, label: str) -> Markup:
    """An interval from 0 to `top` as one small line: its span, the estimate as a dot, the bound across; in words."""

    def x(value: float) -> str:
        return f"{3 + (WIDE - 6) * _share(value, 0.0, top):.1f}"

    span = '<line class="{}" x1="{}" x2="{}" y1="12" y2="12"/>'
    far = " bad" if low > bound else ""
    parts = [Markup(span).format("chart-grid", x(0.0), x(top))]
    if estimate is not None:
        parts.append(Markup(span).format(f"chart-span{far}", x(low), x(high)))
    parts.append(Markup('<line class="chart-limit" x1="{x}" x2="{x}" y1="2" y2="22"/>').format(x=x(bound)))
    if estimate is not None:
        parts.append(Markup('<circle class="chart-dot{}" cx="{}" cy="12" r="4"/>').format(far, x(estimate)))
    head = Markup('<svg class="spark whisker" viewBox="0 0 {} {}" role="img" aria-label="{}">')
    return head.format(f"{WIDE:g}", f"{HIGH:g}", label) + Markup("").join(parts) + Markup("</svg>")
