"""``guarantee``: what a loop's guarantee stands at, in words and figures, and how it came to be."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from dualcontrol.cli.command import State, group, verb
from dualcontrol.cli.open import desk_of
from dualcontrol.cli.screen import ago, document, facts, show, styled, table
from dualcontrol.control import Control
from dualcontrol.errors import NotFoundError
from dualcontrol.guarantee.history import Move, gathered, moves
from dualcontrol.guarantee.offline import share
from dualcontrol.guarantee.standing import UNNAMED, Standing, some, words

app = group("guarantee", "What is guaranteed.")
SHOWN = 40
COLOURS = {"certified": "green", "closed": "bold red", "off": ""}


@verb(
    app, "guarantee", "dualcontrol guarantee mail", "dualcontrol guarantee mail --segment eu --json",
    "dualcontrol guarantee mail --history",
)  # fmt: skip
def guarantee(
    state: State,
    loop: Annotated[str, typer.Argument(metavar="LOOP", help="The loop.")],
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
        found = _asked(opened.guarantee(), segment)
        moved = moves(desk.store.queries.entries(opened.stream, values=False)) if history else []
    names = {of.segment for of in found}
    kept = [move for move in moved if move.segment in ("", *names)]
    if state.as_json:
        document(_document(loop, found, segment, kept if history else None))
    else:
        _print(control, found, kept, now)
    return 0 if any(of.state == "certified" for of in found) else 1


def _asked(standings: list[Standing], segment: str | None) -> list[Standing]:
    found = [of for of in standings if segment in (None, of.segment)]
    if not found:
        known = ", ".join(of.segment for of in standings if of.segment) or "the loop has none"
        raise NotFoundError(f"there is no segment {segment!r}; known are: {known}", hint=UNNAMED)
    return found


def _document(loop: str, found: list[Standing], segment: str | None, kept: list[Move] | None) -> dict[str, Any]:
    more = {} if kept is None else {"history": [move.to_dict() for move in kept]}
    if len(found) == 1:
        return {**found[0].to_dict(), **more}
    return {"loop": loop, "segments": [of.to_dict() for of in found], **more}


def _print(control: Control, found: list[Standing], kept: list[Move], now: int) -> None:
    for of in found:
        said = words(control, of)
        name = f"{of.loop}, segment {of.segment}" if of.segment else of.loop
        show(styled(f"{name}: {of.state}", COLOURS.get(of.state, "yellow")), said.headline)
        show(*([] if of.state in ("certified", "off") else [f"Why: {of.reason}."]))
        show(*filter(None, (said.promised_for, said.evidence, said.errors, said.lapses)))
        show(f"Not promised: {said.not_promised}", "")
        show(facts(_facts(of)), "")
    if kept:
        _history(gathered(kept), now)


def _history(kept: list[Move], now: int) -> None:
    named = ["segment"] if any(move.segment for move in kept) else []
    columns = ["when", *named, "epoch", "what", "from", "why"]
    rows = [_row(move, now, bool(named)) for move in kept[-SHOWN:]]
    show(table(columns, rows, whole=("when", "epoch", "from"), spare=["epoch", *named]))
    if len(kept) > SHOWN:
        show(f"and {len(kept) - SHOWN} before; --json lists all")


def _facts(of: Standing) -> list[tuple[str, str]]:
    return [
        ("threshold", "none: all to humans" if of.threshold is None else f"{of.threshold:.4g}"),
        ("certified coverage", share(of.certified_coverage)),
        ("labels used", f"{of.labels_used:,}"),
        ("labels to the next step", "unknown" if of.labels_needed is None else some(of.labels_needed)),
        ("error so far", _upto(of)),
        ("monitor", f"{share(of.suspicion)} of the way to an alarm"),
    ]


def _upto(of: Standing) -> str:
    if of.error_upper is None:
        return "autopilot has done nothing yet"
    return f"{share(of.error_estimate or 0.0)} estimated, at most {share(of.error_upper)}"


def _row(move: Move, now: int, named: bool) -> list[str]:
    threshold = "" if move.threshold is None else f"{move.threshold:.4g}"
    epoch = "" if move.epoch is None else str(move.epoch)
    what = move.what if move.steps == 1 else f"{move.what} in {move.steps} steps"
    return [ago(move.at, now), *([move.segment] if named else []), epoch, what, threshold, move.reason]
