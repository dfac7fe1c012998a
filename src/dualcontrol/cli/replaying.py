"""``replay``: what a threshold would have done to scores whose truth is known, or today's rules to past cases."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from dualcontrol.cli.again import Again, Replayed, replayed
from dualcontrol.cli.opening import desk_of
from dualcontrol.cli.past import documented, remarks, what_if
from dualcontrol.cli.reading import usage
from dualcontrol.cli.scored import Fields, scored
from dualcontrol.cli.screen import document, note, progress, show, styled, table
from dualcontrol.cli.state import State
from dualcontrol.cli.telling import lines
from dualcontrol.cli.text import some
from dualcontrol.cli.verb import group, verb
from dualcontrol.cli.whatif import Asked, Found, asked, exact, found, plain

app = group("replaying", "Replay.")


@verb(
    app, "replay",
    "dualcontrol replay scored.csv --score confidence --truth right --max-error 0.02 --confidence 0.95",
    "dualcontrol replay scored.parquet --threshold 0.9 --group country --minute-price 0.8 --error-loss 40",
    "dualcontrol replay scored.jsonl --score confidence --proposal predicted --truth label",
    "dualcontrol replay --loop refunds --max-error 0.02",
)  # fmt: skip
def replay(
    state: State,
    file: Annotated[
        str | None, typer.Argument(metavar="[FILE]", help="CSV, Parquet or JSON lines, packed or not; - is stdin.")
    ] = None,
    score: Annotated[str, typer.Option(metavar="NAME", help="The field with the confidence, 0 to 1.")] = "score",
    truth: Annotated[
        str, typer.Option(metavar="NAME", help="The field that says whether the proposal was right (1/0, true/false).")
    ] = "truth",
    proposal: Annotated[
        str | None, typer.Option(metavar="NAME", help="The field with the proposal, if --truth names the right answer.")
    ] = None,
    by: Annotated[
        str | None,
        typer.Option("--group", metavar="NAME", help="The same for each value of this field; of cases: of meta."),
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, metavar="0..1", help="Autopilot from this confidence on.")
    ] = None,
    max_error: Annotated[
        float | None, typer.Option(metavar="0..1", help="Certify a threshold for this error, or the one given.")
    ] = None,
    confidence: Annotated[
        float | None, typer.Option(metavar="0..1", help="How sure the error is to be at most that; 0.95 if not given.")
    ] = None,
    minute_price: Annotated[
        float | None, typer.Option(min=0, metavar="P", help="What a minute of a reviewer costs.")
    ] = None,
    minutes: Annotated[float, typer.Option(min=0, metavar="M", help="How many minutes a review takes.")] = 1.0,
    error_loss: Annotated[
        float | None, typer.Option(min=0, metavar="L", help="What an error on autopilot costs.")
    ] = None,
    loop: Annotated[
        str | None, typer.Option(metavar="LOOP", help="Route this loop's past cases by today's rules.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="With --loop: the newest N cases.")] = 100_000,
) -> int:
    """Try a threshold on scores and truths, or today's rules on past cases; nothing is written.

    With --max-error a threshold is chosen by learn then test, from high scores to low, so that with the confidence
    asked for its error is at most that, for cases drawn like these; the exit code is 1 when nothing can be certified.
    A --threshold beside it is the only one tested.

    Intervals are Wilson's, at 95 %; with --max-error Clopper and Pearson's, each end at --confidence.
    Past cases count by one over the probability with which a human saw them; their intervals are a betting
    martingale's.  Costs are per 1,000 cases, in the currency of the prices.
    """
    if (file is None) == (loop is None):
        raise usage("give a file of scores and truths, or --loop LOOP for past cases")
    wish = asked(threshold, max_error, confidence, minute_price, error_loss, minutes, by is not None)
    if loop is not None:
        return _loop(state, loop, limit, wish, by)
    return _file(state, str(file), Fields(score, truth, proposal, by), wish)


def _file(state: State, file: str, fields: Fields, wish: Asked) -> int:
    rows, remarks = scored(file, fields)
    result = found(rows, wish, exact(rows, wish))
    if state.as_json:
        old = {"rows": len(rows), "at": result.at._asdict() if result.at else None, "remarks": remarks}
        document({**old, **plain(result)})
    else:
        for remark in remarks:
            note(remark)
        show(*lines(result, wish))
    return _code(result)


def _loop(state: State, loop: str, limit: int, wish: Asked, by: str | None) -> int:
    with desk_of(state, govern=False) as desk, progress("routing again", None, quiet=state.as_json) as steps:
        again = replayed(desk, loop, limit, steps.on, by)
    result = what_if(again, wish, by)
    if state.as_json:
        document(documented(again, result, wish))
        return _code(result)
    _again(again, loop)
    if result.n or wish.max_error is not None:
        show(*lines(result, wish))
    for remark in remarks(again, wish):
        note(remark)
    return _code(result)


def _code(result: Found) -> int:
    """1 where a certificate was asked for and there is none."""
    return 1 if result.refused else 0


def _again(found: Replayed, loop: str) -> None:
    show(f"{some(found.cases, 'past case')} of {loop}: {found.same} would go the same way, {found.moved} another")
    if found.moves:
        columns = ("was", "would be", "cases", "because", "such as")
        show(table(columns, [_move(move) for move in found.moves], whole=("was", "cases", "such as")))
    if found.skipped:
        note(f"left out, because the content was erased: {some(found.skipped, 'case')}")


def _move(move: Again) -> list[str | Text]:
    return [styled(move.was), styled(move.now), str(move.cases), move.reason, move.example]
