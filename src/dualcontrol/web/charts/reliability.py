"""The reliability diagram: how often proposals were right at the confidence they came with, with intervals."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from dualcontrol.guarantee.history import Rate
from dualcontrol.web.charts.lines import nothing
from dualcontrol.web.charts.plot import Plot, shares, svg
from dualcontrol.web.show.words import percent

CAP = 3.5  # half the width of an interval's ends


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
        marks.append(nothing("nothing is counted yet"))
    return svg("c-reliability", "Reliability: share right by confidence", description, marks)
