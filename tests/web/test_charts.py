"""Charts are well-formed, stay in their frame, and say in words what they show."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualcontrol.guarantee.history import Point, Rate
from dualcontrol.web.charts import course, lines
from dualcontrol.web.charts.plot import HEIGHT, WIDTH, Plot, spark, ticks, whisker

SHARE = st.floats(0, 1)
MAYBE = st.none() | SHARE
POINTS = st.lists(
    st.builds(
        Point, at=st.just(0), pos=st.just(0), epoch=st.integers(0, 2), decisions=st.integers(0, 10**7),
        labels=st.just(0), threshold=MAYBE, coverage=SHARE, error_upper=MAYBE, error_estimate=MAYBE, suspicion=SHARE,
    ),
    max_size=12,
).map(lambda points: sorted(points, key=lambda point: point.decisions))  # fmt: skip
RATES = st.lists(
    st.builds(Rate, confidence=SHARE, right=SHARE, low=SHARE, high=SHARE, labels=st.integers(1, 9), share=SHARE),
    max_size=5,
)  # fmt: skip


def drawn(markup: str) -> ElementTree.Element:
    """A chart as XML; every figure in it lies in the frame."""
    for number in re.findall(r'(?:x|y|x1|x2|y1|y2|cx|cy)="(-?[\d.]+)"', markup):
        assert -1 <= float(number) <= max(WIDTH, HEIGHT)
    for x, y in re.findall(r"(-?[\d.]+),(-?[\d.]+)", re.sub(r"(?s)<(title|desc|text).*?</\1>", "", markup)):
        assert 0 <= float(x) <= WIDTH
        assert 0 <= float(y) <= HEIGHT
    return ElementTree.fromstring(markup)


@given(POINTS, MAYBE)
def test_any_course_can_be_drawn(points: list[Point], target: float | None) -> None:
    for chart in (
        course.threshold(points),
        course.coverage(points),
        course.error(points, target),
        course.monitor(points),
    ):
        made = drawn(chart)
        assert made.attrib["role"] == "img"
        assert made[0].tag == "title"
        assert made[0].text
        assert made[1].tag == "desc"
        assert made[1].text


@given(RATES)
def test_any_reliability_can_be_drawn(rates: list[Rate]) -> None:
    made = drawn(course.reliability(rates))
    assert len(made.findall(".//circle")) == len(rates)
    assert len(made.findall(".//path")) == len(rates)


def test_what_is_said_is_text() -> None:
    plot = Plot((0, 1), (0, 1))
    for markup in (lines.level(plot, 0.5, "<b>&"), lines.moment(plot, 0.5, '"><b>', "<b>"), lines.nothing("<b>&")):
        assert "<b>" not in str(markup)


def test_a_gap_is_a_gap_and_a_step_keeps_its_value() -> None:
    points: lines.Points = [(0, None), (1, 0.5), (2, 0.4), (3, None), (4, 0.2)]
    assert list(lines.parts(points)) == [[(1, 0.5), (2, 0.4)], [(4, 0.2)]]
    assert next(iter(lines.parts(points, hold=True))) == [(1, 0.5), (2, 0.4), (3, 0.4)]
    assert lines.stepped([(1, 0.5), (2, 0.4)]) == [(1, 0.5), (2, 0.5), (2, 0.4)]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (0, 12, [0, 2.5, 5, 7.5, 10]), (0.1, 1, [0.2, 0.4, 0.6, 0.8, 1])],
)
def test_figures_are_round(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == expected


def test_whole_things_are_counted_in_whole_figures() -> None:
    assert ticks(0, 2, least=1.0) == [0, 1, 2]


def test_a_sparkline_says_what_it_shows() -> None:
    made = ElementTree.fromstring(str(spark([0.0, 0.5, 1.0], 'now "all"')))
    assert made.attrib["aria-label"] == 'now "all"'
    assert len(made[0].attrib["points"].split()) == 3
    assert spark([], "nothing") == ""


@given(st.tuples(SHARE, SHARE, SHARE).map(sorted), SHARE, st.floats(0.01, 1), st.booleans())
def test_an_interval_stays_in_its_line_and_says_whether_it_is_above(
    ends: list[float], bound: float, top: float, known: bool
) -> None:
    low, estimate, high = ends
    line = drawn(whisker(low, estimate if known else None, high, bound, top, "5 % & more"))
    places = [float(part.get(name, "0")) for part in line for name in ("x1", "x2", "cx")]
    assert max(places) <= 120
    assert line.get("aria-label") == "5 % & more"
    assert ("chart-dot bad" in {part.get("class") for part in line}) == (known and low > bound)
