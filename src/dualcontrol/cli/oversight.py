"""``oversight``: what a loop's people catch, and how sure that is; ``suspend``, ``readmit``: whom leads let review."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer
from rich.text import Text

from dualcontrol.cli.command import LoopName, Person, State, group, os_user, verb
from dualcontrol.cli.open import desk_of
from dualcontrol.cli.screen import ago, document, facts, note, report, show, styled, table
from dualcontrol.control import SUSPENDED, Control
from dualcontrol.desk import Loop
from dualcontrol.guarantee.offline import share
from dualcontrol.oversight.rates import RANKED
from dualcontrol.vigilance.standing import Certified, Oversight, Share, Watched

app = group("oversight", "What people catch.")
COLUMNS = ("who", "noticed", "", "let pass unseen", "turned down", "d′", "criterion", "seconds", "points to")
WHOLE, SPARE = ("who", "noticed", "", "d′", "criterion", "seconds"), ("points to", "seconds", "let pass unseen", "")
Reviewer = Annotated[str, typer.Argument(metavar="REVIEWER", help="Whom it is about; never oneself.")]
Because = Annotated[str, typer.Option("--because", metavar="TEXT", help="Why; it is recorded, and shown to them.")]
BAR = 16
FLAGS = 10


@verb(app, "oversight", "dualcontrol oversight mail", "dualcontrol oversight mail --person ana --json")
def oversight(
    state: State,
    loop: LoopName,
    person: Annotated[
        str | None, typer.Option("--person", metavar="PERSON", help="Only what this person sees: their own figures.")
    ] = None,
) -> None:
    """Say what the people of a loop catch of wrong proposals, and how sure that is.

    It is measured with cases whose right answer is known.  Figures of team, people and context levels stand with their
    limits, in the order of names.
    """
    with desk_of(state) as desk:
        measured, now = desk.loop(loop).oversight(person), desk.steps.now()
    if state.as_json:
        return document(measured.to_dict())
    return _print(measured, now)


@verb(app, "suspend", "dualcontrol suspend mail ben --because 'he says that he does not look' --person lee")
def suspend(state: State, loop: LoopName, reviewer: Reviewer, because: Because, person: Person = None) -> None:
    """Let somebody take no more cases of a loop, by the word of a lead.

    Where the loop takes changes by two, a second lead is asked.
    """
    _move(state, loop, Loop.suspend, reviewer, because, person)


@verb(app, "readmit", "dualcontrol readmit mail ben --because 'trained for a day' --person lee")
def readmit(state: State, loop: LoopName, reviewer: Reviewer, because: Because, person: Person = None) -> None:
    """Let somebody take cases again who was suspended; they begin below the ladder."""
    _move(state, loop, Loop.readmit, reviewer, because, person)


def _move(
    state: State, loop: str, move: Callable[..., Control], reviewer: str, because: str, person: str | None
) -> None:
    with desk_of(state) as desk:
        governed = Loop(desk, desk.governing(loop))
        control = move(governed, reviewer, by=person or os_user(), because=because)
    suspended = control.step_of(reviewer) == SUSPENDED
    rows = [("loop", control.loop), ("reviewer", reviewer), ("takes cases", "no" if suspended else "yes")]
    report(state.as_json, {"loop": control.loop, "reviewer": reviewer, "suspended": suspended}, facts(rows))


def _print(measured: Oversight, now: int) -> None:
    alarmed = measured.certificate is not None and measured.certificate.disagreement is not None
    show(styled(f"{measured.statement[:1].upper()}{measured.statement[1:]}.", "bold red" if alarmed else "bold"), "")
    if measured.certificate is not None and measured.certificate.probes:
        show(facts(_after_review(measured.certificate)), "")
    rows = [_row(each.name or "the team", each) for each in (*filter(None, (measured.team,)), *measured.people)]
    if rows:
        show(table(COLUMNS, rows, whole=WHOLE, spare=SPARE))
    if measured.levels:
        levels = [_row(each.name, each) for each in measured.levels]
        show(table(("context", *COLUMNS[1:]), levels, whole=("context", *WHOLE[1:]), spare=SPARE))
    for flag, times in measured.last_flags()[:FLAGS]:
        often = f", {times} times so far" if times > 1 else ""
        show(styled(f"flagged {ago(flag.at, now)}{often}", "bold red"), f"{flag.words}; case {flag.case_id}", "")
    if measured.steps:
        show(table(("who", "step", "since", "because"), [
            [step.person, step.name.replace("_", " "), ago(step.at, now), step.because] for step in measured.steps
        ], whole=("who", "step")))  # fmt: skip
    for title, spans in (("hour of a shift", measured.drift.hours), ("week", measured.drift.weeks)):
        if spans:
            noticed = [[t.of, f"{t.caught} of {t.wrong} ({share(t.low)} to {share(t.high)})"] for t in spans]
            show(table((title, "noticed, of wrong ones in view"), noticed, whole=(title,)))
    for alarm in measured.drift.alarms:
        show(styled(alarm, "bold red"))
    if measured.whole and any(not each.comparable for each in measured.people):
        note(f"people stand in the order of their names; below {RANKED} test cases figures do not tell them apart")
    if not measured.share:
        note("this loop asks no test cases: the setting `probes` says how many may be asked")


def _after_review(of: Certified) -> list[tuple[str, str | Text]]:
    """What is wrong after review, twice, and whether the two disagree."""
    by_probes, directly = "not known yet: it takes blind labels", "not known yet: it takes blind audits of decisions"
    if of.wrong is not None:
        by_probes = f"at most {share(of.residual_at_most)} of decisions"
    if of.direct is not None:
        directly = f"at most {share(of.direct_at_most)} of decisions"
    rows: list[tuple[str, str | Text]] = [("wrong after review", by_probes), ("the same directly", directly)]
    if of.disagreement is not None:
        rows.append(("alarm", styled(f"{of.disagreement} than the test cases say: the two exclude each other", "red")))
    return rows


def _row(name: str, of: Watched) -> list[str | Text]:
    timed = "" if of.seconds is None else f"{of.seconds.typical:.3g}"
    return [
        name, _share(of.caught), _bar(of.caught), _share(of.missed_blind), _share(of.false_alarms),
        "" if of.d_prime is None else f"{of.d_prime:.2f} ± {of.spread:.2f}",
        "" if of.criterion is None else f"{of.criterion:+.2f}", timed, of.diagnosis,
    ]  # fmt: skip


def _share(of: Share) -> str:
    if of.share is None:
        return "–"
    return f"{100 * of.share:.0f} % of {of.of} ({100 * of.low:.0f} to {100 * of.high:.0f})"


def _bar(of: Share) -> Text:
    """An interval as a line, with the share in it; the figures beside it say the same."""
    if of.share is None:
        return Text("")
    low, high, at = (min(int(value * BAR), BAR - 1) for value in (of.low, of.high, of.share))
    signs = ["█" if place == at else "━" if low <= place <= high else "·" for place in range(BAR)]
    return Text("".join(signs), style="cyan")
