"""A replay as people read it: the verdict in one line, the curve, the groups, and what costs least."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType

from dualcontrol.cli.listing import Listing
from dualcontrol.cli.screen import styled, table
from dualcontrol.cli.whatif import GROUPS, UNIT, Asked, Found, cheapest
from dualcontrol.route.curve import Point
from dualcontrol.route.promise import share

BAR = 10  # how many characters a whole load is


def lines(result: Found, asked: Asked) -> Iterator[RenderableType | str]:
    """Everything there is to print, part by part."""
    if asked.max_error is not None:
        yield styled(_verdict(result, asked), "bold red" if result.refused else "green")
        yield result.reason
    elif result.at is not None:
        yield _chosen(result.at)
    if result.points:
        yield _curve(result)
    if result.groups:
        yield _groups(result)
        yield GROUPS
    if result.humans is not None:
        yield _least(result, asked)


def _verdict(result: Found, asked: Asked) -> str:
    promise = f"an error of at most {share(asked.max_error or 0.0)} with {share(asked.confidence)} confidence"
    if result.at is None:
        return f"nothing certified for {promise}: everything goes to humans"
    return f"certified for {promise}: {_chosen(result.at)}"


def _chosen(point: Point) -> str:
    carried = f"{point.autopilot} of {point.rows} on autopilot, {point.load:.1%} to humans"
    return f"autopilot from {point.threshold!r}: {carried}; error {_error(point)}"


def _error(point: Point) -> str:
    if point.error is None:
        return "unknown, nothing runs on autopilot"
    return f"{point.error:.2%} ({point.wrong} of {point.autopilot}), between {point.low:.2%} and {point.high:.2%}"


def _curve(result: Found) -> Listing:
    columns = ["from", "to humans", "", f"error on autopilot ({share(result.confidence)})"]
    rows = [[f"{p.threshold:.4g}", f"{p.load:.1%}", "█" * round(p.load * BAR), _short(p)] for p in result.points]
    if result.humans is None:
        return table(columns, rows, whole=("to humans",), spare=("",))
    priced = [[*row, _cost(point.cost)] for row, point in zip(rows, result.points, strict=True)]
    return table([*columns, "cost"], priced, whole=("to humans", "cost"), spare=("",))


def _short(point: Point) -> str:
    """The error of a line of the curve, short enough for a terminal of 80 columns."""
    if point.error is None:
        return "unknown"
    return f"{point.error:.2%}, {point.low:.2%} to {point.high:.2%} ({point.wrong} of {point.autopilot})"


def _cost(cost: float | None) -> str:
    return "" if cost is None else f"{cost:,.2f}"


def _groups(result: Found) -> Listing:
    rows = [[name, str(of.n), *_group(of)] for name, of in result.groups.items()]
    columns = ("group", "rows", "to humans", "error on autopilot", "cost", "note")
    return table(columns, rows, whole=("rows", "to humans"), spare=("cost",) if result.humans is None else ())


def _group(of: Found) -> list[str]:
    if of.at is None:
        return ["100.0%", "unknown, nothing runs on autopilot", _cost(of.humans), of.reason]
    return [f"{of.at.load:.1%}", _short(of.at), _cost(of.at.cost), of.reason]


def _least(result: Found, asked: Asked) -> str:
    best = cheapest(result)
    humans = _cost(result.humans)
    if best is None:
        return f"cheapest: everything to humans, {humans} {UNIT}; no point of the curve costs less"
    said = (
        f"cheapest of the curve: autopilot from {best.threshold:.4g}, {_cost(best.cost)} {UNIT}; all to humans {humans}"
    )
    if asked.max_error is not None and (result.at is None or best.threshold < result.at.threshold):
        return f"{said}; its error is not certified"
    return said
