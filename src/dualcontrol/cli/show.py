"""``show``: one case, as a person may see it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from dualcontrol.case import JSON, Answer, Case, Review
from dualcontrol.cli.command import State, group, os_user, verb
from dualcontrol.cli.open import case_of, desk_of
from dualcontrol.cli.screen import ago, document, due, facts, note, show, spread, stamp, styled, table
from dualcontrol.events import Entry, Event
from dualcontrol.layout import one_line, written
from dualcontrol.names import same
from dualcontrol.review.joined import alike
from dualcontrol.review.view import seen_by

app = group("show", "Look at a case.")
BLIND = "the proposal and what came of it are hidden while you hold or may take a blind review of this case"
EVENT = ("no", "at", "who", "event", "details")


@verb(app, "show", "dualcontrol show 01890a5d-ac96-774b-bcce-b302099a8057 --events")
def show_case(
    state: State,
    case: Annotated[
        str, typer.Argument(metavar="CASE", help="The id of a case or review, or a beginning that only one has.")
    ],
    events: Annotated[bool, typer.Option("--events", help="Also everything that happened, in order.")] = False,
    person: Annotated[
        str | None, typer.Option(metavar="PERSON", help="Who looks; others' answers are hidden while a quorum is open.")
    ] = None,
) -> None:
    """Show a case: what is proposed, why it waits, what was decided."""
    who = person or os_user()
    with desk_of(state) as desk:
        found = case_of(desk, case)
        entries = desk.store.queries.entries(f"case/{found.id}", values=False) if events else []
        now, settings = desk.steps.now(), desk.governing(found.loop).settings
        more = desk.steps.followers(found)
    found, kept = seen_by(found, who, settings)
    if kept:
        return _show_blind(state, found, now)
    hidden = blind_to(found, who)
    if state.as_json:
        listed = {"events": event_document(entries, hidden)} if events else {}
        return document(plain_case(found, hidden) | listed)
    show(*case_parts(found, now, hidden))
    if more:
        show(alike(more))
    if events:
        show(table(EVENT, event_rows(entries, hidden), whole=("no", "at", "event")))
    return None


def _show_blind(state: State, case: Case, now: int) -> None:
    """A case that somebody looks at who may be asked about it blind: what happened to it would tell as well."""
    if state.as_json:
        return document(plain_case(case, ()) | {"hidden": BLIND})
    show(*blind_parts(case, now))
    return note(BLIND)


# A case in words: facts, proposal, reviews, decision and outcome, as the console prints them.

BUSY = ("open", "claimed")
LINE = 2_000  # characters of the details of an event
REVIEW = ("review", "kind", "group", "state", "person", "due", "done")
TOLD_ELSEWHERE = (
    "kind", "case_id", "loop", "at", "content", "quorum", "shown", "presented", "control", "epoch", "order_at",
    "opened_at",
)  # fmt: skip


def blind_to(case: Case, person: str) -> tuple[str, ...]:
    """The reviews whose answers this person may not see yet: those of others, while a blind quorum is open."""
    blind = case.route.quorum.blind if case.route else True
    deciding = any(r.state in BUSY and r.kind in ("decide", "second", "probe") for r in case.reviews)
    if not blind or not deciding or case.concluded is not None:
        return ()
    return tuple(a.review_id for a in case.answered if not same(a.actor.person, person))


def plain_case(case: Case, hidden: Sequence[str]) -> dict[str, JSON]:
    """The case as JSON without the answers that are hidden."""
    shown = case.to_dict()
    shown["answers"] = [a for a in shown["answers"] if a["review_id"] not in hidden]
    shown["content"] = {k: v for k, v in shown["content"].items() if k.removeprefix("answer/") not in hidden}
    for passed in (r for r in case.reviews if hidden and r.state == "passed" and f"answer/{r.id}" in shown["content"]):
        slot = f"answer/{passed.id}"
        shown["content"][slot] = {k: v for k, v in shown["content"][slot].items() if k != "first"}
    return shown


def case_parts(case: Case, now: int, hidden: Sequence[str]) -> Iterator[RenderableType | str]:
    """Everything there is to see of a case, part by part."""
    yield from _given(case, now)
    yield from proposed_parts(case)
    yield from _asked(case, now)
    for answer in case.answers:
        yield f"{answer.review_id}: hidden while others still answer" if answer.review_id in hidden else _said(answer)
    yield facts(list(_outcome(case)))


def proposed_parts(case: Case) -> Iterator[RenderableType | str]:
    """What the AI proposes, what else it considered, and why."""
    if case.proposal is not None:
        yield from _section("proposal", case.proposed_value())
    others = [c.to_dict() for i, c in enumerate(case.candidates) if i != case.proposed]
    yield from _section("alternatives" if case.proposal else "candidates", others or None)
    yield from _section("rationale", case.rationale)


def blind_parts(case: Case, now: int) -> Iterator[RenderableType | str]:
    """What there is to see of a case whose proposal is hidden."""
    yield from _given(case, now)
    yield from _asked(case, now)


def _given(case: Case, now: int) -> Iterator[RenderableType | str]:
    yield facts(_head(case, now))
    yield from _section("input", case.input)


def _asked(case: Case, now: int) -> Iterator[RenderableType | str]:
    yield from _section("history", case.history)
    if case.reviews:
        rows = [_review(review, now) for review in case.reviews]
        yield table(REVIEW, rows, whole=("review", "state"), spare=("kind", "group"))


def _head(case: Case, now: int) -> list[tuple[str, str | Text]]:
    route = case.route
    risk = route.risk if route and route.risk is not None else case.risk
    rows: list[tuple[str, str | Text | None]] = [
        ("case", case.id),
        ("loop", f"{one_line(case.loop)} ({case.mode})"),
        ("state", styled(case.state)),
        ("opened", f"{stamp(case.opened_at)} ({ago(case.opened_at, now)})"),
        ("key", case.key),
        ("confidence", None if case.confidence is None else f"{case.confidence:g}"),
        ("risk", None if risk is None else styled(str(risk))),
        ("route", styled(f"{route.to} by {route.by}" if route.by else route.to) if route else None),
        ("why", route.reason if route else None),
        ("joined to", case.leader),
        ("due", f"{due(case.due_at, now)}, then {route.on_timeout}" if case.due_at and route else None),
        ("erased", "its content was erased; the evidence stays" if case.erased else None),
        ("read only", case.read_only),
    ]
    return [(name, value) for name, value in rows if value is not None]


def _section(name: str, value: JSON) -> Iterator[RenderableType | str]:
    if value is not None and value != {}:
        yield Text(f"\n{name}", style="bold")
        yield spread(value)


def _review(review: Review, now: int) -> list[str | Text]:
    waits = due(review.due_at, now) if review.state in BUSY else ""
    done = ago(review.answered_at, now)
    return [review.id, review.kind, review.group, styled(review.state), review.person or "", waits, done]


def _said(answer: Answer) -> str:
    value = "" if answer.value is None else f" {spread(answer.value)}"
    why = f"; {spread(answer.rationale)}" if answer.rationale else ""
    return f"{answer.actor.person} answered {answer.verdict}{value}{why}"


def _outcome(case: Case) -> Iterator[tuple[str, str | Text]]:
    for alarm in case.alarms:
        yield "alarm", alarm["reason"]
    for audit in case.audits:
        yield audit["kind"], f"{audit['verdict']}: the proposal was {'wrong' if audit['wrong'] else 'right'}"
    outcome = case.outcome
    if outcome is None:
        waits = "open: a human still has to answer"
        yield "outcome", styled(waits if case.state == "open" else "decided, not yet effective")
        return
    yield "outcome", styled(f"{outcome.verdict or 'autopilot'} by {outcome.by}")
    yield "value", spread(outcome.value)
    if outcome.rationale:
        yield "rationale", spread(outcome.rationale)
    if case.effect.state != "none":
        yield "effect", spread(outcome.effect)


def event_rows(entries: Sequence[Entry], hidden: Sequence[str]) -> list[list[str]]:
    """One row an event: number, time, who, what, and its plain facts; content stays out."""
    return [_event_row(entry, event, hidden) for entry in entries for event in entry.events]


def _event_row(entry: Entry, event: Event, hidden: Sequence[str]) -> list[str]:
    who = _who(entry.actor, event, hidden)
    return [str(entry.seq), stamp(entry.at), who, type(event).__name__, _details(event, hidden)]


def _who(actor: str, event: Event, hidden: Sequence[str]) -> str:
    return "(hidden)" if getattr(event, "review_id", None) in hidden else actor


def event_document(entries: Sequence[Entry], hidden: Sequence[str]) -> list[dict[str, JSON]]:
    """The entries as JSON; of hidden answers only that they were given."""
    return [
        {
            "seq": entry.seq, "at": entry.at, "actor": entry.actor, "hash": entry.hash, "pos": entry.pos,
            "events": [e.to_dict() for e in entry.events if getattr(e, "review_id", None) not in hidden],
        }
        for entry in entries
    ]  # fmt: skip


def _details(event: Event, hidden: Sequence[str]) -> str:
    said = event.to_dict()
    if said.get("review_id") in hidden:
        return "hidden while others still answer"
    kept = {k: v for k, v in said.items() if k not in TOLD_ELSEWHERE and v not in (None, "", [], {}, False)}
    return one_line(", ".join(f"{k} {_short(k, v)}" for k, v in kept.items()), LINE)


def _short(name: str, value: JSON) -> str:
    if isinstance(value, int) and (name.endswith("_at") or name == "until"):
        return stamp(value)
    return written(value.get("person", value) if isinstance(value, dict) else value)[:LINE]
