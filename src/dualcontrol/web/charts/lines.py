"""What is drawn in a frame: steps, lines, bands, a level that is aimed at, and moments that are marked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from markupsafe import Markup

from dualcontrol.web.charts.plot import BOTTOM, HEIGHT, TOP, WIDTH, Plot

Points: TypeAlias = Sequence[tuple[float, float | None]]
Part: TypeAlias = list[tuple[float, float]]


def line(plot: Plot, points: Points, kind: str) -> Markup:
    """A line through the points; it breaks where there is none."""
    return _path(kind, (_joined(plot, part) for part in parts(points)))


def steps(plot: Plot, points: Points, kind: str) -> Markup:
    """A line that keeps each value until the next one."""
    return _path(kind, (_joined(plot, stepped(part)) for part in parts(points, held=True)))


def band(plot: Plot, points: Points, to: float, kind: str, *, held: bool = False) -> Markup:
    """The surface between the points and a level."""
    return _path(kind, (_closed(plot, stepped(part) if held else part, to) for part in parts(points, held=held)))


def level(plot: Plot, value: float, said: str) -> Markup:
    """A level that is aimed at, with its name."""
    y, right = plot.y(value), plot.x(plot.x_to)
    drawn = Markup('<line class="chart-target" x1="{}" x2="{}" y1="{y}" y2="{y}"/>').format(
        plot.x(plot.x_from), right, y=y
    )
    name = Markup('<text class="chart-said" x="{}" y="{}" text-anchor="end">{}</text>')
    return drawn + name.format(right, round(y - 5 if y > TOP + 14 else y + 14, 1), said)


def moment(plot: Plot, x: float, kind: str, said: str) -> Markup:
    """A moment that is marked; its name shows on hovering, and stands in the table."""
    drawn = '<line class="chart-moment {}" x1="{x}" x2="{x}" y1="{}" y2="{}"><title>{}</title></line>'
    return Markup(drawn).format(kind, TOP, HEIGHT - BOTTOM, said, x=plot.x(x))


def nothing(said: str) -> Markup:
    """What stands in a chart without anything to draw."""
    text = '<text class="chart-none" x="{}" y="{}" text-anchor="middle">{}</text>'
    return Markup(text).format(f"{WIDTH / 2:g}", f"{TOP + 45:g}", said)


def parts(points: Points, *, held: bool = False) -> Iterator[Part]:
    """Stretches without a gap; a held value ends where the gap begins."""
    part: Part = []
    for x, y in points:
        if y is not None:
            part.append((x, y))
        elif part:
            yield [*part, (x, part[-1][1])] if held else part
            part = []
    if part:
        yield part


def stepped(part: Part) -> Part:
    """The corners of steps."""
    made: Part = []
    for x, y in part:
        made += [(x, made[-1][1])] if made and made[-1][1] != y else []
        made.append((x, y))
    return made


def _joined(plot: Plot, part: Part) -> str:
    return "M" + " ".join(f"{plot.x(x):g},{plot.y(y):g}" for x, y in part)


def _closed(plot: Plot, part: Part, to: float) -> str:
    return _joined(plot, [(part[0][0], to), *part, (part[-1][0], to)]) + "Z"


def _path(kind: str, drawn: Iterator[str]) -> Markup:
    found = " ".join(drawn)
    return Markup('<path class="{}" d="{}"/>').format(kind, found) if found else Markup("")
