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
    return _path(plot, kind, list(parts(points)))


def steps(plot: Plot, points: Points, kind: str) -> Markup:
    """A line that keeps each value until the next one."""
    return _path(plot, kind, [stepped(part) for part in parts(points, hold=True)])


def band(plot: Plot, points: Points, to: float, kind: str, *, hold: bool = False) -> Markup:
    """The surface between the points and a level."""
    corners = [stepped(part) if hold else part for part in parts(points, hold=hold)]
    return _path(plot, kind, [[(part[0][0], to), *part, (part[-1][0], to)] for part in corners], "Z")


def level(plot: Plot, value: float, label: str) -> Markup:
    """A level that is aimed at, with its name."""
    y, right = plot.y(value), plot.x(plot.x_to)
    line = Markup('<line class="chart-target" x1="{}" x2="{}" y1="{y}" y2="{y}"/>')
    name = Markup('<text class="chart-said" x="{}" y="{}" text-anchor="end">{}</text>')
    place = round(y - 5 if y > TOP + 14 else y + 14, 1)
    return line.format(plot.x(plot.x_from), right, y=y) + name.format(right, place, label)


def moment(plot: Plot, x: float, kind: str, label: str) -> Markup:
    """A moment that is marked; its name shows on hovering, and stands in the table."""
    drawn = '<line class="chart-moment {}" x1="{x}" x2="{x}" y1="{}" y2="{}"><title>{}</title></line>'
    return Markup(drawn).format(kind, TOP, HEIGHT - BOTTOM, label, x=plot.x(x))


def nothing(label: str) -> Markup:
    """What stands in a chart without anything to draw."""
    text = '<text class="chart-none" x="{}" y="{}" text-anchor="middle">{}</text>'
    return Markup(text).format(f"{WIDTH / 2:g}", f"{TOP + 45:g}", label)


def parts(points: Points, *, hold: bool = False) -> Iterator[Part]:
    """Stretches without a gap; a value that holds ends where the gap begins."""
    part: Part = []
    for x, y in points:
        if y is not None:
            part.append((x, y))
        elif part:
            yield [*part, (x, part[-1][1])] if hold else part
            part = []
    if part:
        yield part


def stepped(part: Part) -> Part:
    """The corners of steps."""
    corners: Part = []
    for x, y in part:
        corners += [(x, corners[-1][1])] if corners and corners[-1][1] != y else []
        corners.append((x, y))
    return corners


def _path(plot: Plot, kind: str, parts: Sequence[Part], end: str = "") -> Markup:
    moves = ["M" + " ".join(f"{plot.x(x):g},{plot.y(y):g}" for x, y in part) + end for part in parts]
    return Markup('<path class="{}" d="{}"/>').format(kind, " ".join(moves)) if moves else Markup("")
