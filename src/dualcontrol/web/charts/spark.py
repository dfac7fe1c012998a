"""A sparkline: the shape of a course in the space of a word, for where a chart would be too much."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

WIDE, HIGH = 120.0, 24.0


def spark(values: Sequence[float], said: str) -> Markup:
    """Values between 0 and 1 as one small line; `said` is what it tells."""
    if not values:
        return Markup("")
    places = " ".join(_place(i, value, len(values)) for i, value in enumerate(values))
    head = Markup('<svg class="spark" viewBox="0 0 {} {}" role="img" aria-label="{}">').format(
        f"{WIDE:g}", f"{HIGH:g}", said
    )
    return head + Markup('<polyline class="chart-line" points="{}"/></svg>').format(places)


def _place(i: int, value: float, count: int) -> str:
    x = 1 + (WIDE - 2) * (i / max(1, count - 1))
    return f"{x:.1f},{HIGH - 2 - (HIGH - 4) * min(1.0, max(0.0, value)):.1f}"
