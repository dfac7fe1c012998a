"""``guarantee``: what a loop's guarantee stands at, in words and figures, and how it came to be."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import RenderableType

from dualcontrol.case import JSON
from dualcontrol.cli.command import LoopName, State, group, verb
from dualcontrol.cli.open import desk_of
from dualcontrol.cli.screen import ago, document, facts, show, styled, table
from dualcontrol.cli.stop import said
from dualcontrol.control import Control
from dualcontrol.errors import NotFoundError
from dualcontrol.guarantee.breakdown import Breakdown, mend, warning
from dualcontrol.guarantee.history import Move, gathered, moves
from dualcontrol.guarantee.offline import share
from dualcontrol.guarantee.standing import UNNAMED, Order, Standing, effort, some, time_of, words, worth_of

app = group("guarantee", "What is guaranteed.")
SHOWN = 40
COLOURS = {"certified": "green", "closed": "bold red", "off": ""}


@verb(
    app, "guarantee", "dualcontrol guarantee mail", "dualcontrol guarantee mail --segment eu --json",
    "dualcontrol guarantee mail --history",
)  # fmt: skip
def guarantee(
    state: State,
    loop: LoopName,
    segment: Annotated[str | None, typer.Option(metavar="NAME", help="Only this segment of its guarantee.")] = None,
    history: Annotated[bool, typer.Option("--history", help="Also what moved, when and why.")] = False,
) -> int:
    """Say what is guaranteed of a loop's autopilot: promise, evidence, and when it lapses; or why nothing is.

    Evidence that is due is counted first.  The exit code is 0 when a threshold is certified, for at least one of the
    segments shown, and 1 when nothing is.
    """
    with desk_of(state) as desk:
        opened = desk.loop(loop)
        opened.certify()
        control, now = opened.control, desk.steps.now()
        standings, parts = opened.guarantee(), opened.breakdown()
        moved = moves(desk.store.queries.entries(opened.stream, values=False)) if history else []
    shown = [of for of in standings if segment in (None, of.segment)]
    if not shown:
        known = ", ".join(of.segment for of in standings if of.segment) or "the loop has none"
        raise NotFoundError(f"there is no segment {segment!r}; known are: {known}", hint=UNNAMED)
    names = {of.segment for of in shown}
    moved = [move for move in moved if move.segment in ("", *names)]
    if state.as_json:
        plain = [of.to_dict() for of in shown]
        more: dict[str, JSON] = {"breakdowns": [of.to_dict() for of in parts]}
        more |= {"history": [move.to_dict() for move in moved]} if history else {}
        document({**(plain[0] if len(plain) == 1 else {"loop": loop, "segments": plain}), **more})
    else:
        _print(control, shown, parts, gathered(moved), now)
    return 0 if any(of.state == "certified" for of in shown) else 1


def _print(
    control: Control, standings: list[Standing], parts: list[Breakdown], moved: list[Move], now: int
) -> None:  # fmt: skip
    show(*([] if control.stopped is None else [styled(f"{control.loop} is {said(control.stopped, now)}", "bold red")]))
    for of in standings:
        text = words(control, of)
        name = f"{of.loop}, segment {of.segment}" if of.segment else of.loop
        show(styled(f"{name}: {of.state}", COLOURS.get(of.state, "yellow")), text.headline)
        show(*([] if of.state in ("certified", "off") else [f"Why: {of.reason}."]))
        show(*filter(None, (text.promised_for, text.evidence, text.orders, text.errors, text.lapses)))
        show(f"Not promised: {text.not_promised}", "")
        show(facts(_facts(of)), "")
    for breakdown in parts:
        if any(part.labels for part in breakdown.parts):
            show(*_broken_down(control, breakdown), "")
    if not moved:
        return
    named = ["segment"] if any(move.segment for move in moved) else []
    rows = []
    for move in moved[-SHOWN:]:
        epoch = "" if move.epoch is None else str(move.epoch)
        what = move.what if move.steps == 1 else f"{move.what} in {move.steps} steps"
        threshold = "" if move.threshold is None else f"{move.threshold:.4g}"
        segment = [move.segment] if named else []
        why = move.reason if not move.seconds else f"{move.reason}; it took people {time_of(move.seconds)}"
        rows.append([ago(move.at, now), *segment, epoch, what, threshold, why])
    columns = ["when", *named, "epoch", "what", "from", "why"]
    show(table(columns, rows, whole=("when", "epoch", "from"), spare=["epoch", *named]))
    if len(moved) > SHOWN:
        show(f"and {len(moved) - SHOWN} before; --json lists all")


ORDERS = {"confidence": "confidence", "risk": "learned score"}


def _by(one: Order) -> str:
    """What an order lets through, in one line."""
    if one.threshold is None:
        return f"nothing certified, {one.labels_used:,} labels"
    acts = "acts: " if one.acts else ""
    return f"{acts}{share(one.through)} of the latest cases from {one.threshold:.4g} on, {one.labels_used:,} labels"


def _broken_down(control: Control, of: Breakdown) -> list[RenderableType | str]:
    """How often autopilot is wrong in each part, the worst first, with the bound on each bar."""
    top = min(1.0, max(2 * of.max_error, *(part.high for part in of.parts if part.labels)))
    rows = []
    for part in of.parts[:PARTS]:
        error = "not audited yet" if part.estimate is None else share(part.estimate)
        between = f"{share(part.low)} to {share(part.high)}" if part.labels else ""
        audits = f"{part.wrong} of {part.labels:,}" if part.labels else ""
        name = styled(part.name, "bold red") if part.exceeds else part.name
        drawn = bar(part.low, part.estimate, part.high, of.max_error, top)
        rows.append([name, share(part.share), drawn, error, between, audits])
    columns = [of.by, "of autopilot", f"0 to {share(top)}", "wrong", "between", "audits"]
    lines: list[RenderableType | str] = [table(columns, rows, whole=("wrong", "between"), spare=("of autopilot",))]
    if len(of.parts) > PARTS:
        lines.append(f"and {len(of.parts) - PARTS} more; --json lists all")
    lines.append(f"{INTERVALS % share(of.confidence)}.")
    said, advice = warning(of), mend(control, of)
    return lines if said is None else [*lines, styled(f"{said}.", "bold red"), advice or ""]


BAR, PARTS = 20, 20
INTERVALS = "All intervals hold at once and at every look with %s confidence, while each part stays as it is"


def bar(low: float, estimate: float | None, high: float, bound: float, top: float) -> str:
    """An interval in characters: its span, the estimate, and the bound as an upright line."""

    def place(value: float) -> int:
        return min(BAR - 1, int(value / top * BAR))

    cells = ["─" if estimate is not None and place(low) <= i <= place(high) else " " for i in range(BAR)]
    cells[place(bound)] = "│"
    if estimate is not None:
        cells[place(estimate)] = "●"
    return "".join(cells)


def _facts(of: Standing) -> list[tuple[str, str]]:
    error = "autopilot has done nothing yet"
    if of.error_upper is not None:
        error = f"{share(of.error_estimate or 0.0)} estimated, at most {share(of.error_upper)}"
    return [
        ("threshold", "none: all to humans" if of.threshold is None else f"{of.threshold:.4g}"),
        ("certified coverage", share(of.certified_coverage)),
        *((f"by {ORDERS[one.order]}", _by(one)) for one in of.orders),
        ("labels used", ", ".join(filter(None, (f"{of.labels_used:,}", worth_of(of))))),
        ("people's time", " ".join(effort(of))),
        ("labels to the next step", "unknown" if of.labels_needed is None else some(of.labels_needed)),
        ("error so far", error),
        ("monitor", f"{share(of.suspicion)} of the way to an alarm"),
    ]
