"""``show``: one case, as a person may see it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

import typer
from msgspec.structs import replace
from rich.console import RenderableType
from rich.text import Text

from dualcontrol.case import JSON, Answer, Case, Outcome
from dualcontrol.cli.command import State, group, os_user, verb
from dualcontrol.cli.open import case_of, desk_of
from dualcontrol.cli.screen import ago, document, due, facts, note, show, spread, stamp, table
from dualcontrol.cli.stop import said
from dualcontrol.control import Env, Stop
from dualcontrol.desk import Desk
from dualcontrol.events import Entry
from dualcontrol.layout import one_line, written
from dualcontrol.names import same
from dualcontrol.people import may, proof
from dualcontrol.probe import event_as_seen
from dualcontrol.review.comparison import order, texts
from dualcontrol.review.joined import alike
from dualcontrol.review.view import seen_by

app = group("show", "Look at a case.")
BLIND = "the proposal and what came of it are hidden while you hold or may take a blind review of this case"
COMPARE = (
    "one of these answers is the AI's, the other a person's; say which would be acceptable: "
    "`dualcontrol answer CASE label --value a`, b, both or neither"
)
HIDDEN = "hidden while others still answer"
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
        shown = case_of(desk, case)
        entries = desk.store.queries.entries(f"case/{shown.id}", values=False) if events else []
        now, control = desk.steps.now(), desk.governing(shown.loop)
        followers = desk.steps.followers(shown)
        sides = compared(desk, shown, who)
    shown, blind = seen_by(shown, who, control)
    entries = [replace(entry, events=tuple(event_as_seen(e, shown) for e in entry.events)) for entry in entries]
    hidden = () if blind else blind_to(shown, who)
    if state.as_json:
        more: dict[str, JSON] = {"events": event_document(entries, hidden)} if events else {}
        more = {"hidden": BLIND, **({"texts": sides} if sides else {})} if blind else more
        return document(plain_case(shown, hidden) | more)
    show(facts(_head(shown, control.stopped, now)), *_section("input", shown.input))
    show(*(() if blind else proposed_parts(shown)), *_section("history", shown.history))
    if shown.reviews:
        rows = []
        for review in shown.reviews:
            waits, done = due(review.due_at, now) if review.state in BUSY else "", ago(review.answered_at, now)
            rows.append([review.id, review.kind, review.group, review.state, review.person or "", waits, done])
        show(table(REVIEW, rows, whole=("review", "state"), spare=("kind", "group")))
    if blind:  # what happened to the case would tell as well
        for text in sides:
            show(*_section(f"answer {text['id']}", text["value"]))
        return note(COMPARE if sides else BLIND)
    for answer in shown.answers:
        show(_answer(shown, answer) if answer.review_id not in hidden else f"{answer.review_id}: {HIDDEN}")
    show(facts(_result(shown)))
    if followers:
        show(alike(followers))
    if events:
        show(table(EVENT, event_rows(entries, hidden), whole=("no", "at", "event")))
    return None


# A case in words: facts, proposal, reviews, decision and outcome.

BUSY = ("open", "claimed")
LINE = 2_000  # characters of the details of an event
REVIEW = ("review", "kind", "group", "state", "person", "due", "done")
ELSEWHERE = (
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


def compared(desk: Desk, case: Case, person: str) -> list[JSON]:
    """The two texts of a comparison that this person holds or may take, in the order that is drawn for them."""
    control = desk.governing(case.loop)
    for review in case.reviews:
        if review.against is None or review.state not in BUSY or (review.person and not same(review.person, person)):
            continue
        if review.person or may(person, "claim", control, case, review.id) is None:
            env = Env(now=desk.steps.now(), new_id=desk.steps.new_id, secret=desk.steps.secret)
            return texts(case, replace(review, presented=order(case, review.person or person, env)))
    return []


def plain_case(case: Case, hidden: Sequence[str]) -> dict[str, JSON]:
    """The case as JSON without the answers that are hidden."""
    shown = case.to_dict()
    shown["answers"] = [a for a in shown["answers"] if a["review_id"] not in hidden]
    content = {k: v for k, v in shown["content"].items() if k.removeprefix("answer/") not in hidden}
    passed = [f"answer/{review.id}" for review in case.reviews if hidden and review.state == "passed"]
    for slot in (slot for slot in passed if slot in content):
        content[slot] = {k: v for k, v in content[slot].items() if k != "first"}
    return shown | {"content": content}


def concluded(case: Case, **more: JSON) -> dict[str, JSON]:
    """A case as the commands that change one report it in JSON."""
    return {"case_id": case.id, **more, "outcome": case.outcome.to_dict() if case.outcome else None}


def proposed_parts(case: Case) -> Iterator[RenderableType | str]:
    """What the AI proposes, what else it considered, and why."""
    if case.proposal is not None:
        yield from _section("proposal", case.proposed_value())
    others = [c.to_dict() for i, c in enumerate(case.candidates) if i != case.proposed]
    yield from _section("alternatives" if case.proposal else "candidates", others or None)
    yield from _section("rationale", case.rationale)


def _head(case: Case, stop: Stop | None, now: int) -> list[tuple[str, str]]:
    route = case.route
    risk = route.risk if route and route.risk is not None else case.risk
    rows = [
        ("case", case.id),
        ("loop", f"{one_line(case.loop)} ({case.mode})"),
        ("state", case.state),
        ("the loop is", said(stop, now) if stop is not None else None),
        ("opened", f"{stamp(case.opened_at)} ({ago(case.opened_at, now)})"),
        ("key", case.key),
        ("confidence", None if case.confidence is None else f"{case.confidence:g}"),
        ("risk", None if risk is None else str(risk)),
        ("route", (f"{route.to} by {route.by}" if route.by else route.to) if route else None),
        ("why", route.reason if route else None),
        ("joined to", case.leader),
        ("debriefing", case.debriefing),
        ("due", f"{due(case.due_at, now)}, then {route.on_timeout}" if case.due_at and route else None),
        ("erased", "its content was erased; the evidence stays" if case.erased else None),
        ("read only", case.read_only),
    ]
    return [(name, value) for name, value in rows if value is not None]


def _section(name: str, value: JSON) -> Iterator[RenderableType | str]:
    if value is not None and value != {}:
        yield Text(f"\n{name}", style="bold")
        yield spread(value)


def _answer(case: Case, answer: Answer) -> str:
    value = "" if answer.value is None else f" {spread(answer.value)}"
    review = case.review(answer.review_id)
    if review is not None and review.against:
        value = f" {', '.join(f'{side}: {said}' for side, said in answer.by_side.items())}"
    why = f"; {spread(answer.rationale)}" if answer.rationale else ""
    how = f"{stamp(answer.at)} {proof(answer.actor, answer.at)}"
    return f"{answer.actor.person} answered {answer.verdict}{value}{why}\n  {how}"


def _result(case: Case) -> list[tuple[str, str]]:
    """Alarms, audits, and what became of the case."""
    rows = [("alarm", alarm["reason"]) for alarm in case.alarms]
    for audit in case.audits:
        told = {0: "the proposal was right", 1: "the proposal was wrong"}.get(audit["wrong"], "to be compared")
        rows.append((audit["kind"], f"{audit['verdict']}: {told}"))
    outcome = case.outcome
    if outcome is None:
        waits = "open: a human still has to answer" if case.state == "open" else "decided, not yet effective"
        return [*rows, ("outcome", waits)]
    rows += outcome_rows(outcome)
    if outcome.rationale:
        rows.append(("rationale", outcome.rationale))
    if case.effect.state != "none":
        rows.append(("effect", spread(outcome.effect)))
    return rows


def outcome_rows(outcome: Outcome) -> list[tuple[str, str]]:
    """An outcome as facts: verdict, who it came from, value."""
    return [("outcome", f"{outcome.verdict or 'autopilot'} by {outcome.by}"), ("value", spread(outcome.value))]


def event_rows(entries: Sequence[Entry], hidden: Sequence[str]) -> list[list[str]]:
    """One row an event: number, time, who, what, and its plain facts; content stays out."""
    rows = []
    for entry in entries:
        for event in entry.events:
            who = "(hidden)" if getattr(event, "review_id", None) in hidden else entry.actor
            fields = event.to_dict()
            if fields.get("review_id") in hidden:
                details = HIDDEN
            else:
                shown = {k: v for k, v in fields.items() if k not in ELSEWHERE and v not in (None, "", [], {}, False)}
                details = one_line(", ".join(f"{name} {_short(name, value)}" for name, value in shown.items()), LINE)
            rows.append([str(entry.seq), stamp(entry.at), who, type(event).__name__, details])
        if entry.proof is not None and rows[-1][2] == entry.actor:
            rows.append(["", "", "", "", proof(entry.proof, entry.at)])
    return rows


def event_document(entries: Sequence[Entry], hidden: Sequence[str]) -> list[dict[str, JSON]]:
    """The entries as JSON; of hidden answers only that they were given."""
    return [
        {
            "seq": entry.seq, "at": entry.at, "actor": entry.actor, "hash": entry.hash, "pos": entry.pos,
            **({"proof": entry.proof.to_dict()} if entry.proof else {}),
            "events": [e.to_dict() for e in entry.events if getattr(e, "review_id", None) not in hidden],
        }
        for entry in entries
    ]  # fmt: skip


def _short(name: str, value: JSON) -> str:
    if isinstance(value, int) and (name.endswith("_at") or name == "until"):
        return stamp(value)
    return written(value.get("person", value) if isinstance(value, dict) else value)[:LINE]
