"""``replay``: what a threshold would have done to scores whose truth is known, or today's rules to past cases."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.text import Text

from dualcontrol.cli.again import Again, replayed
from dualcontrol.cli.curve import Point, Scored, at, curve
from dualcontrol.cli.listing import Listing
from dualcontrol.cli.opening import desk_of
from dualcontrol.cli.reading import rows_of, usage
from dualcontrol.cli.screen import document, note, progress, show, styled, table
from dualcontrol.cli.state import State
from dualcontrol.cli.text import some
from dualcontrol.cli.verb import group, verb

app = group("replaying", "Replay.")
YES = {"1", "1.0", "true", "yes", "right", "correct"}
NO = {"0", "0.0", "false", "no", "wrong", "incorrect"}


@verb(
    app, "replay",
    "dualcontrol replay scored.csv --score confidence --truth right --threshold 0.9",
    "dualcontrol replay scored.jsonl --score confidence --proposal predicted --truth label",
    "dualcontrol replay --loop refunds",
)  # fmt: skip
def replay(
    state: State,
    file: Annotated[str | None, typer.Argument(metavar="[FILE]", help="CSV or JSON lines; - is stdin.")] = None,
    score: Annotated[str, typer.Option(metavar="NAME", help="The field with the confidence, 0 to 1.")] = "score",
    truth: Annotated[
        str, typer.Option(metavar="NAME", help="The field that says whether the proposal was right (1/0, true/false).")
    ] = "truth",
    proposal: Annotated[
        str | None, typer.Option(metavar="NAME", help="The field with the proposal, if --truth names the right answer.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, metavar="0..1", help="Autopilot from this confidence on.")
    ] = None,
    loop: Annotated[
        str | None, typer.Option(metavar="LOOP", help="Route this loop's past cases by today's rules.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="With --loop: the newest N cases.")] = 100_000,
) -> None:
    """Try a threshold on scores and truths, or today's rules on past cases; nothing is written.

    Error intervals are Wilson's, at 95 %. They hold for rows drawn like those to come.
    """
    if (file is None) == (loop is None):
        raise usage("give a file of scores and truths, or --loop LOOP for past cases")
    if loop is not None:
        return _loop(state, loop, limit)
    return _file(state, scored(str(file), score, truth, proposal), threshold)


def scored(file: str, score: str, truth: str, proposal: str | None) -> list[Scored]:
    """The rows of a file; a usage error names the first line that does not fit."""
    rows = []
    for line, row in rows_of(file):
        if isinstance(row, str):
            raise usage(f"{file}:{line}: {row}")
        for name in (score, truth, *((proposal,) if proposal else ())):
            if name not in row:
                raise usage(f"{file}:{line}: there is no field {name!r}; there are: {', '.join(row)}")
        right = row[truth] == row[proposal] if proposal else _right(row[truth], f"{file}:{line}: {truth}")
        rows.append(Scored(_score(row[score], f"{file}:{line}: {score}"), right))
    if not rows:
        raise usage(f"{file} holds no rows")
    return rows


def _score(value: Any, where: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = -1.0
    if not 0 <= number <= 1 or isinstance(value, bool):
        raise usage(f"{where} is {value!r}, not a number from 0 to 1")
    return number


def _right(value: Any, where: str) -> bool:
    word = str(value).strip().lower()
    if word not in YES | NO:
        raise usage(f"{where} is {value!r}, neither right (1, true, yes) nor wrong (0, false, no); see --proposal")
    return word in YES


def _file(state: State, rows: list[Scored], threshold: float | None) -> None:
    points = curve(rows)
    chosen = at(rows, threshold) if threshold is not None else None
    if state.as_json:
        return document({
            "rows": len(rows), "interval": "wilson", "confidence": 0.95, "at": chosen._asdict() if chosen else None,
            "curve": [point._asdict() for point in points],
        })  # fmt: skip
    if chosen is not None:
        share = f"{chosen.autopilot} of {chosen.rows} on autopilot, {chosen.load:.1%} to humans"
        show(f"autopilot from {chosen.threshold:g}: {share}; error {_error(chosen)}")
    return show(_curve(points))


def _error(point: Point) -> str:
    if point.error is None:
        return "unknown, nothing runs on autopilot"
    return f"{point.error:.2%} ({point.wrong} of {point.autopilot}), between {point.low:.2%} and {point.high:.2%}"


def _curve(points: list[Point]) -> Listing:
    rows = [[f"{p.threshold:.4g}", f"{p.load:.1%}", "█" * round(p.load * 20), _error(p)] for p in points]
    return table(("autopilot from", "to humans", "", "error on autopilot (95 %)"), rows)


def _loop(state: State, loop: str, limit: int) -> None:
    with desk_of(state, govern=False) as desk, progress("routing again", None, quiet=state.as_json) as steps:
        found = replayed(desk, loop, limit, steps.on)
    if state.as_json:
        return document(found.to_dict())
    show(f"{some(found.cases, 'past case')} of {loop}: {found.same} would go the same way, {found.moved} another")
    if found.moves:
        columns = ("was", "would be", "cases", "because", "such as")
        show(table(columns, [_move(move) for move in found.moves], whole=("was", "cases", "such as")))
    if found.skipped:
        note(f"left out, because the content was erased: {some(found.skipped, 'case')}")
    return None


def _move(move: Again) -> list[str | Text]:
    return [styled(move.was), styled(move.now), str(move.cases), move.reason, move.example]
