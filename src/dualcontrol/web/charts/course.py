"""The charts of a guarantee: threshold, coverage, error with its bound, and monitor over time; and reliability.

The reliability diagram says how often proposals were right at the confidence they came with, with intervals.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from markupsafe import Markup

from dualcontrol.guarantee.history import Point, Rate
from dualcontrol.web.charts import lines
from dualcontrol.web.charts.plot import Format, Plot, shares, svg
from dualcontrol.web.show.words import percent

DECISIONS = "decisions counted"
CAP = 3.5  # half the width of an interval's ends


def threshold(points: Sequence[Point]) -> Markup:
    """From which score on autopilot may act; what lies above the line is its own."""
    course: lines.Points = [(p.decisions, p.threshold) for p in points]
    plot, last = _plot(points, 1.0), points[-1].threshold if points else None
    now = "nothing is certified" if last is None else f"certified from {last:.4g} on"
    description = f"After {_last(points)} decisions {now}. The table below has the same figures."
    marks = [lines.band(plot, course, 1.0, "chart-band", hold=True), lines.steps(plot, course, "chart-line")]
    marks += [] if any(p.threshold is not None for p in points) else [lines.nothing("nothing was certified so far")]
    title = "Certified threshold over decisions"
    return _svg("c-threshold", title, description, plot, points, marks, "{:.2f}".format)


def coverage(points: Sequence[Point]) -> Markup:
    """Which share of decisions autopilot may have."""
    course: lines.Points = [(p.decisions, p.coverage) for p in points]
    plot, share = _plot(points, 1.0), percent(points[-1].coverage if points else 0.0)
    description = f"After {_last(points)} decisions {share} may go to autopilot."
    marks = [lines.band(plot, course, 0.0, "chart-band", hold=True), lines.steps(plot, course, "chart-line")]
    return _svg("c-coverage", "Certified coverage over decisions", description, plot, points, marks, shares)


def error(points: Sequence[Point], target: float | None) -> Markup:
    """What autopilot got wrong so far: the estimate, and the bound above it, beside the error that is promised."""
    estimate: lines.Points = [(p.decisions, p.error_estimate) for p in points]
    upper: lines.Points = [(p.decisions, p.error_upper) for p in points]
    plot = _plot(points, ceiling(points, target))
    bounded = [(p.decisions, p.error_estimate, p.error_upper) for p in points if p.error_upper is not None]
    marks = [lines.line(plot, upper, "chart-bound"), lines.line(plot, estimate, "chart-line")]
    if len(bounded) > 1:  # the band from the estimate up to the bound
        edge = [(x, high) for x, _, high in bounded] + [(x, low or 0.0) for x, low, _ in reversed(bounded)]
        marks.insert(0, lines.line(plot, edge, "chart-band"))
    if target is not None:
        marks.append(lines.level(plot, target, f"at most {percent(target)}"))
    description = "Autopilot has done nothing yet."
    if points and points[-1].error_upper is not None:
        last = points[-1]
        description = f"So far about {percent(last.error_estimate)} wrong, and at most {percent(last.error_upper)}."
    else:
        marks.append(lines.nothing("autopilot has done nothing yet"))
    return _svg("c-error", "Error of autopilot so far, with its bound", description, plot, points, marks, shares)


def monitor(points: Sequence[Point]) -> Markup:
    """How far the evidence has come that autopilot errs more than promised; at 100 % the alarm goes off."""
    course: lines.Points = [(p.decisions, p.suspicion) for p in points]
    plot = _plot(points, 1.05)
    marks = [lines.band(plot, course, 0.0, "chart-band warn"), lines.line(plot, course, "chart-line warn")]
    marks.append(lines.level(plot, 1.0, "alarm"))
    description = f"Now {percent(points[-1].suspicion if points else 0.0)} of the way to an alarm."
    return _svg("c-monitor", "Monitor: on the way to an alarm", description, plot, points, marks, shares)


def reliability(rates: Sequence[Rate]) -> Markup:
    """A dot a group of cases, its interval through it, and the line on which confidence would be what it claims."""
    low = min([rate.confidence for rate in rates] + [rate.low for rate in rates], default=0.0)
    start = max(0.0, int(low * 10) / 10)
    plot = Plot((start, 1.0), (start, 1.0))
    diagonal = Markup('<line class="chart-even" x1="{}" y1="{}" x2="{}" y2="{}"/>')
    marks = [
        plot.grid("{:.2f}".format, shares, "confidence that came with the proposal"),
        diagonal.format(plot.x(plot.x_from), plot.y(plot.x_from), plot.x(plot.x_to), plot.y(plot.x_to)),
    ]
    for rate in rates:
        x, y_low, y_high = plot.x(rate.confidence), plot.y(rate.low), plot.y(rate.high)
        whisker = f"M{x:g},{y_low:g}V{y_high:g}M{x - CAP:g},{y_low:g}h{2 * CAP:g}M{x - CAP:g},{y_high:g}h{2 * CAP:g}"
        mark = Markup(
            '<g><title>{}</title><path class="chart-whisker" d="{}"/>'
            '<circle class="chart-dot" cx="{}" cy="{}" r="4"/></g>'
        )
        label = f"{rate.labels} labels at {rate.confidence:.2f}: {percent(rate.right)} right"
        marks.append(mark.format(label, whisker, x, plot.y(rate.right)))
    over = sum(rate.high < rate.confidence for rate in rates)
    under = sum(rate.low > rate.confidence for rate in rates)
    description = (
        f"Of {len(rates)} groups of cases {over} were clearly less often right than their confidence says, "
        f"{under} clearly more often."
    )
    if not rates:
        description = "Nothing is counted yet."
        marks.append(lines.nothing("nothing is counted yet"))
    return svg("c-reliability", "Reliability: share right by confidence", description, marks)


def ceiling(points: Sequence[Point], target: float | None) -> float:
    """The top of the error chart: an early bound is near 1 and would press all else to the floor, so it may be cut."""
    estimates = [p.error_estimate for p in points if p.error_estimate is not None]
    last = next((p.error_upper for p in reversed(points) if p.error_upper is not None), None)
    aim = target or 0.0
    wanted = [2.5 * aim, min(1.3 * (last or 0.0), 6.0 * aim), 1.3 * max(estimates[len(estimates) // 4 :], default=0.0)]
    return min(1.0, max(wanted)) or 1.0


def _plot(points: Sequence[Point], top: float) -> Plot:
    return Plot((points[0].decisions if points else 0, points[-1].decisions if points else 1), (0.0, top))


def _last(points: Sequence[Point]) -> str:
    return f"{points[-1].decisions if points else 0:,}"


def _svg(
    key: str, title: str, description: str, plot: Plot, points: Sequence[Point], marks: list[Markup], up: Format
) -> Markup:  # fmt: skip
    """A chart over decisions, with the moments where the alarm went off and where a new epoch began."""
    parts = [plot.grid(lambda x: f"{x:,.0f}", up, DECISIONS, whole=True)]
    for before, point in pairwise(points):
        if point.suspicion >= 1.0:
            parts.append(lines.moment(plot, point.decisions, "bad", "alarm"))
        elif point.epoch != before.epoch and before.suspicion < 1.0:
            parts.append(lines.moment(plot, point.decisions, "", f"epoch {point.epoch} began"))
    parts += marks if points else [lines.nothing("nothing is counted yet")]
    return svg(key, title, description, parts)
