"""``replay``: what a threshold would have done to scores whose truth is known, or today's rules to past cases."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import RenderableType

from dualcontrol.cli.command import State, group, verb
from dualcontrol.cli.open import desk_of
from dualcontrol.cli.read import usage
from dualcontrol.cli.screen import document, note, progress, show, styled, table
from dualcontrol.guarantee.curve import CurvePoint, Price
from dualcontrol.guarantee.offline import check_promise, share
from dualcontrol.guarantee.one_look import ONCE
from dualcontrol.layout import some
from dualcontrol.replay.files import Fields, scored
from dualcontrol.replay.past import documented, past_result, remarks, replayed
from dualcontrol.replay.whatif import GROUPS, UNIT, Options, ThresholdResult, cheapest, exact, plain, threshold_result

app = group("replay", "Replay.")


@verb(
    app, "replay",
    "dualcontrol replay scored.csv --score confidence --truth right --max-error 0.02 --confidence 0.95",
    "dualcontrol replay scored.parquet --threshold 0.9 --group country --minute-price 0.8 --error-loss 40",
    "dualcontrol replay scored.jsonl --score confidence --proposal predicted --truth label",
    "dualcontrol replay --loop refunds --max-error 0.02",
    "dualcontrol replay --loop mail --max-error 0.05 --once 4000",
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
    miss_rate: Annotated[
        float | None,
        typer.Option(metavar="0..1", help="The share of errors that people let pass; the guarantee's if not given."),
    ] = None,
    once: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="One look at the first N labels of a guarantee; recorded.")
    ] = None,
    segment: Annotated[
        str | None, typer.Option(metavar="NAME", help="With --once: the segment of the guarantee.")
    ] = None,
    loop: Annotated[
        str | None, typer.Option(metavar="LOOP", help="Route this loop's past cases by today's rules.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="With --loop: the newest N cases.")] = 100_000,
) -> int:
    """Try a threshold on scores and truths, or today's rules on past cases; nothing is written but a look (--once).

    With --max-error a threshold is chosen by learn then test, from high scores to low, so that with the confidence
    asked for its error is at most that, for cases drawn like these; the exit code is 1 when nothing can be certified.
    A --threshold beside it is the only one tested.
    Of a loop under a guarantee it is what the live certificate makes of the labels that it counts, or why it cannot.
    --once N spends the whole chance of being wrong on one exact test of its first N labels.

    Intervals are Wilson's, at 95 %; with --max-error Clopper and Pearson's, each end at --confidence.
    Past cases count by one over the probability with which a human saw them; their intervals are a betting
    martingale's.  Costs are per 1,000 cases, in the currency of the prices.
    """
    if (file is None) == (loop is None):
        raise usage("give a file of scores and truths, or --loop LOOP for past cases")
    if confidence is not None and max_error is None:
        raise usage("--confidence says how sure --max-error is to hold; give both")
    if max_error is not None:
        check_promise(max_error, 0.95 if confidence is None else confidence)
    if miss_rate is not None and (loop is None or not 0 <= miss_rate < 1):
        raise usage("--miss-rate is a share from 0 on and below 1, of errors that people let pass in cases of --loop")
    if once is not None and (loop is None or threshold is not None or miss_rate is not None or by is not None):
        raise usage("--once N looks at labels of a --loop, by its guarantee's miss rate; it takes no other option but "
                    "--max-error, --confidence and --segment")  # fmt: skip
    if segment is not None and once is None:
        raise usage("--segment names what --once looks at; --group segment tells segments apart")
    if (minute_price is None) != (error_loss is None):
        raise usage("a cost takes both: --minute-price for reviewers, and --error-loss for errors on autopilot")
    price = None if minute_price is None or error_loss is None else Price(minutes * minute_price, error_loss)
    wish = Options(threshold, max_error, 0.95 if confidence is None else confidence, price, by is not None, miss_rate)
    if once is not None and loop is not None:
        return _once(state, loop, once, max_error, confidence, segment or "")
    if loop is not None:
        return _loop(state, loop, limit, wish, by)
    return _file(state, str(file), Fields(score, truth, proposal, by), wish)


def _file(state: State, file: str, fields: Fields, wish: Options) -> int:
    rows, remarks = scored(file, fields)
    result = threshold_result(rows, wish, exact(rows, wish))
    if state.as_json:
        old = {"rows": len(rows), "at": result.at._asdict() if result.at else None, "remarks": remarks}
        document({**old, **plain(result)})
    else:
        for remark in remarks:
            note(remark)
        show(*lines(result, wish))
        if wish.max_error is not None:
            note("one look: it holds for these rows once; another bound, or more rows later, is a second look")
    return 1 if result.refused else 0


def _loop(state: State, loop: str, limit: int, wish: Options, by: str | None) -> int:
    with desk_of(state, govern=False) as desk, progress("routing again", None, quiet=state.as_json) as step:
        again = replayed(desk, loop, limit, step, by)
    result = past_result(again, wish, by)
    code = 1 if result.refused else 0
    if state.as_json:
        document(documented(again, result, wish))
        return code
    show(f"{some(again.cases, 'past case')} of {loop}: {again.same} would go the same way, {again.moved} another")
    if again.moves:
        moves = [(move.was, move.now, str(move.cases), move.reason, move.example) for move in again.moves]
        columns = ("was", "would be", "cases", "because", "such as")
        show(table(columns, moves, whole=("was", "cases", "such as")))
    if again.skipped:
        note(f"left out, because the content was erased: {some(again.skipped, 'case')}")
    if result.n or wish.max_error is not None:
        show(*lines(result, wish))
    for remark in remarks(again, wish):
        note(remark)
    return code


def _once(
    state: State, loop: str, labels: int, max_error: float | None, confidence: float | None, segment: str
) -> int:  # fmt: skip
    """One look, recorded; the exit code is 1 where nothing is certified."""
    with desk_of(state) as desk:
        look = desk.loop(loop).look_once(labels, max_error=max_error, confidence=confidence, segment=segment)
    if state.as_json:
        document({**look.to_dict(), "note": ONCE})
        return int(look.threshold is None)
    promise = f"an error of at most {share(look.max_error)} with {share(look.confidence)} confidence"
    many = f"look {look.look} at {some(look.labels, 'label')} of {look.loop}" + (f", {segment}" if segment else "")
    if look.again:
        note("this look was taken before: this is its answer, and no second look")
    if look.threshold is None:
        show(styled(f"{many}: nothing certified for {promise}", "bold red"), look.reason, ONCE)
        return 1
    error = f"{share(look.error or 0.0)} of them wrong, between {share(look.low)} and {share(look.high)}"
    show(
        styled(f"{many}: certified for {promise}", "green"),
        f"autopilot from {look.threshold!r}: {share(look.coverage)} of the labels; {error}", look.reason, ONCE,
        f"Nothing acts by it: write threshold = {look.threshold!r} in place of the guarantee, and nothing counts on.",
    )  # fmt: skip
    return 0


# A replay as people read it: the verdict in one line, the curve, the groups, and what costs least.


BAR = 10  # how many characters a whole load is
NOTHING = "unknown, nothing runs on autopilot"


def lines(result: ThresholdResult, wish: Options) -> list[RenderableType | str]:
    """Everything there is to print, part by part."""
    parts: list[RenderableType | str] = []
    if wish.max_error is not None:
        promise = f"an error of at most {share(wish.max_error)} with {share(wish.confidence)} confidence"
        if result.segments:
            verdict = f"for {promise}, segment by segment:"
        elif result.at is None:
            verdict = f"nothing certified for {promise}: everything goes to humans"
        else:
            verdict = f"certified for {promise}: {_chosen(result.at)}"
        parts += [styled(verdict, "bold red" if result.refused else "green"), result.reason]
        if result.segments:
            rows = [
                [
                    name,
                    "all to humans" if of.threshold is None else f"{of.threshold:.4g}",
                    share(of.coverage),
                    of.reason,
                ]
                for name, of in result.segments.items()
            ]
            parts.append(table(["segment", "from", "of decisions", "why"], rows, whole=("from",)))
    elif result.at is not None:
        parts.append(_chosen(result.at))
    priced = result.humans is not None
    if result.points:
        columns = ["from", "to humans", "", f"error on autopilot ({share(result.confidence)})", "cost"]
        rows = [
            [f"{p.threshold:.4g}", f"{p.load:.1%}", "█" * round(p.load * BAR), _error(p), _cost(p.cost)]
            for p in result.points
        ]
        if not priced:
            columns, rows = columns[:-1], [row[:-1] for row in rows]
        parts.append(table(columns, rows, whole=("to humans", "cost"), spare=("",)))
    if result.groups:
        columns = ["group", "rows", "to humans", "error on autopilot", "cost", "note"]
        rows = [[name, str(of.n), *_group(of)] for name, of in result.groups.items()]
        parts += [table(columns, rows, whole=("rows", "to humans"), spare=() if priced else ("cost",)), GROUPS]
    if priced:
        parts.append(_cheapest(result, wish))
    return parts


def _chosen(point: CurvePoint) -> str:
    error = NOTHING
    if point.error is not None:
        error = f"{point.error:.2%} ({point.wrong} of {point.autopilot}), between {point.low:.2%} and {point.high:.2%}"
    carried = f"{point.autopilot} of {point.rows} on autopilot, {point.load:.1%} to humans"
    return f"autopilot from {point.threshold!r}: {carried}; error {error}"


def _error(point: CurvePoint) -> str:
    """The error of a line of the curve, short enough for a terminal of 80 columns."""
    if point.error is None:
        return "unknown"
    return f"{point.error:.2%}, {point.low:.2%} to {point.high:.2%} ({point.wrong} of {point.autopilot})"


def _cost(cost: float | None) -> str:
    return "" if cost is None else f"{cost:,.2f}"


def _group(of: ThresholdResult) -> list[str]:
    if of.at is None:
        return ["100.0%", NOTHING, _cost(of.humans), of.reason]
    return [f"{of.at.load:.1%}", _error(of.at), _cost(of.at.cost), of.reason]


def _cheapest(result: ThresholdResult, wish: Options) -> str:
    best, humans = cheapest(result), _cost(result.humans)
    if best is None:
        return f"cheapest: everything to humans, {humans} {UNIT}; no point of the curve costs less"
    price = f"{_cost(best.cost)} {UNIT}; all to humans {humans}"
    uncertified = wish.max_error is not None and (result.at is None or best.threshold < result.at.threshold)
    more = "; its error is not certified" if uncertified else ""
    return f"cheapest of the curve: autopilot from {best.threshold:.4g}, {price}{more}"
