"""What happened: event kinds in past tense, ledger entries with canonical bytes and hashes, and `evolve`.

``evolve(case, event) -> case`` is the only way a case changes; folding a case's entries gives the same case
again.  Entry bodies are canonical JSON (UTF-8, sorted keys, no spaces, no floats: real numbers are written as
their shortest round-trip text), stored as text and hashed byte for byte.  Entries are never rewritten: old
event versions are read through `UPCASTS`, an unknown kind makes the case read-only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from dualcontrol.case import (
    ENCODER,
    JSON,
    Actor,
    Answer,
    By,
    Case,
    Content,
    Decision,
    Effect,
    Mode,
    Outcome,
    Quorum,
    Review,
    ReviewKind,
    Route,
    RouteTo,
    Value,
    Verdict,
    decoder,
)


def real(number: float | int | str | None) -> str | None:
    """A real number as its shortest round-trip text; levels such as "high" and None pass through."""
    if number is None or isinstance(number, str):
        return number
    return repr(float(number))


def unreal(text: str | None) -> str | float | None:
    """The inverse of `real`."""
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        return text


def _number(text: str | None) -> float | None:
    return None if text is None else float(text)


class Event(Value, tag_field="kind", tag=True, frozen=True, kw_only=True):
    """One thing that happened."""


# the case's stream


class Opened(Event, frozen=True, kw_only=True):
    """A proposal came in; its content is sealed in slots."""

    case_id: str
    loop: str
    mode: Mode
    at: int
    case_kind: Literal["live", "probe", "practice"] = "live"
    origin: Literal["live", "import", "shadow"] = "live"
    key: str | None = None
    run: str | None = None
    parent: str | None = None
    leader: str | None = None
    owner: str | None = None
    proposed: int | None = None
    action: str | None = None
    confidence: str | None = None
    risk: str | None = None
    requires_approval: bool = False
    segment: str | None = None
    effect: Literal["none", "ready"] = "none"
    content: Content = Content()


class Routed(Event, frozen=True, kw_only=True):
    """The case was sent to autopilot, to a human, or blocked; the audit's probability stands beside its draw."""

    to: RouteTo
    by: str
    reason: str
    control: int
    inclusion: str
    audited: bool = False
    epoch: int = 0
    bin: int | None = None
    group: str | None = None
    quorum: Quorum = Quorum()
    risk: str | None = None
    due_at: int | None = None
    on_timeout: str = "hold"


class Rerouted(Event, frozen=True, kw_only=True):
    """An edit met rules that ask for more than the original did; the route was tightened."""

    by: str
    reason: str
    group: str | None = None
    quorum: Quorum = Quorum()
    risk: str | None = None


class ReviewOpened(Event, frozen=True, kw_only=True):
    """A row for one reviewer came into the queue."""

    review_id: str
    review: ReviewKind
    group: str
    round: int
    opened_at: int
    order_at: int
    due_at: int | None = None
    excludes: tuple[str, ...] = ()


class Claimed(Event, frozen=True, kw_only=True):
    """A reviewer took a review for a time; `claim_id` is the fencing token."""

    review_id: str
    person: str
    claim_id: str
    at: int
    until: int
    presented: tuple[str, ...] = ()


class Released(Event, frozen=True, kw_only=True):
    """A reviewer gave a review back."""

    review_id: str
    claim_id: str


class Extended(Event, frozen=True, kw_only=True):
    """A reviewer asked for more time on a claim."""

    review_id: str
    claim_id: str
    until: int


class LeaseExpired(Event, frozen=True, kw_only=True):
    """A reviewer's time ran out; the review is open again."""

    review_id: str
    claim_id: str
    person: str


class Answered(Event, frozen=True, kw_only=True):
    """A reviewer answered; what was said is sealed in the slot ``answer/<review>``."""

    review_id: str
    actor: Actor
    verdict: Verdict
    at: int
    reasons: tuple[str, ...] = ()
    confidence: str | None = None
    shown: str = ""
    presented: tuple[str, ...] = ()
    seconds: str | None = None
    content: Content = Content()


class Passed(Event, frozen=True, kw_only=True):
    """A reviewer abstained or escalated; another review takes the place."""

    review_id: str
    actor: Actor
    verdict: Verdict
    at: int
    to: str | None = None
    shown: str = ""
    content: Content = Content()


class ReviewCancelled(Event, frozen=True, kw_only=True):
    """A review is no longer needed."""

    review_id: str
    reason: str


class Decided(Event, frozen=True, kw_only=True):
    """Answers settled the case; until `effective_at` the answerer may retract."""

    verdict: Verdict
    answers: tuple[str, ...]
    settled_by: str
    effective_at: int
    wrong: int | None = None
    source: str | None = None


class Retracted(Event, frozen=True, kw_only=True):
    """The answerer took the decision back before it was effective; the review is open again."""

    review_id: str
    person: str


class Audited(Event, frozen=True, kw_only=True):
    """A review beside the outcome settled: was the proposal wrong?  The outcome stays."""

    review_id: str
    review: ReviewKind
    verdict: Verdict
    wrong: int | None = None


class TimedOut(Event, frozen=True, kw_only=True):
    """The response time passed without a decision; what the loop declared for that happens."""

    how: Literal["reject", "hold", "escalate", "autopilot"]
    at: int


class Withdrawn(Event, frozen=True, kw_only=True):
    """The program no longer wants an answer."""

    by: str
    at: int


class Concluded(Event, frozen=True, kw_only=True):
    """The outcome stands: autopilot, a human, the timeout or a withdrawal."""

    by: By
    at: int
    verdict: Verdict | None = None
    reviewers: tuple[str, ...] = ()
    effect: Literal["none", "ready"] = "none"


class EffectStarted(Event, frozen=True, kw_only=True):
    """Somebody holding `fence` runs the decided action."""

    fence: int
    owner: str
    at: int
    until: int


class EffectSucceeded(Event, frozen=True, kw_only=True):
    """The action ran; its result is sealed in the slot ``result``."""

    fence: int
    at: int
    kept: bool = True
    content: Content = Content()


class EffectFailed(Event, frozen=True, kw_only=True):
    """The action raised; the error's text is sealed in the slot ``error``."""

    fence: int
    at: int
    content: Content = Content()


class EffectLost(Event, frozen=True, kw_only=True):
    """The lease ran out without a result: nobody knows whether it happened."""

    fence: int
    at: int


class EffectResolved(Event, frozen=True, kw_only=True):
    """A person or a check said whether a lost effect happened."""

    fence: int
    at: int
    happened: bool
    by: str
    content: Content = Content()


class Erased(Event, frozen=True, kw_only=True):
    """The content was erased; the evidence stays."""

    at: int
    by: str


# a loop's stream


class PolicyChanged(Event, frozen=True, kw_only=True):
    """The loop's settings changed; `settings` is their canonical JSON text."""

    version: int
    at: int
    digest: str
    settings: str


class ThresholdMoved(Event, frozen=True, kw_only=True):
    """The confidence from which autopilot may act moved, and why."""

    version: int
    at: int
    segment: str
    threshold: str | None
    reason: str


class AutopilotClosed(Event, frozen=True, kw_only=True):
    """A segment ("" for the whole loop) goes to humans from here on."""

    version: int
    at: int
    segment: str
    reason: str


class AutopilotOpened(Event, frozen=True, kw_only=True):
    """A closed segment is open again."""

    version: int
    at: int
    segment: str
    reason: str


class ModelPromoted(Event, frozen=True, kw_only=True):
    """A trained model took over: it was better on held-out human decisions."""

    version: int
    at: int
    model: str
    examples: int
    metric: str
    score: str
    incumbent: str | None = None


class ModelKept(Event, frozen=True, kw_only=True):
    """A trained model was not better; the incumbent stays."""

    at: int
    model: str
    examples: int
    metric: str
    score: str
    incumbent: str | None = None


class BatchRouted(Event, frozen=True, kw_only=True):
    """A chunk of rows was routed in one go; rows for humans opened cases of their own."""

    at: int
    batch: str
    chunk: int
    rows: int
    autopilot: int
    human: int
    blocked: int
    audited: int
    control: int
    digest: str
    content: Content = Content()


class Unknown(Event, frozen=True, kw_only=True):
    """An event of a version that this program does not know."""

    name: str = ""


CASE_EVENTS: tuple[type[Event], ...] = (
    Opened, Routed, Rerouted, ReviewOpened, Claimed, Released, Extended, LeaseExpired, Answered, Passed,
    ReviewCancelled, Decided, Retracted, Audited, TimedOut, Withdrawn, Concluded, EffectStarted, EffectSucceeded, EffectFailed,
    EffectLost, EffectResolved, Erased,
)  # fmt: skip
LOOP_EVENTS: tuple[type[Event], ...] = (
    PolicyChanged, ThresholdMoved, AutopilotClosed, AutopilotOpened, ModelPromoted, ModelKept, BatchRouted,
)  # fmt: skip
EVENTS: dict[str, type[Event]] = {kind.__name__: kind for kind in (*CASE_EVENTS, *LOOP_EVENTS)}
UPCASTS: dict[tuple[str, int], Callable[[dict[str, Any]], dict[str, Any]]] = {}


# entries


class Entry(Value, frozen=True, kw_only=True):
    """One transaction's worth of events in one stream, chained by hash to the entry before it."""

    stream: str
    seq: int
    at: int
    actor: str
    events: tuple[Event, ...]
    body: str = ""
    prev: str = ""
    hash: str = ""
    pos: int | None = None


class _Body(msgspec.Struct, frozen=True, kw_only=True):
    stream: str
    seq: int
    at: int
    actor: str
    events: list[Event]


class _RawBody(msgspec.Struct, frozen=True, kw_only=True):
    stream: str
    seq: int
    at: int
    actor: str
    events: list[dict[str, Any]]


_RAW = decoder(_RawBody)


def sealed(entry: Entry, prev: str) -> Entry:
    """The entry with its canonical body and its hash, chained to `prev` ("" for the first of a stream)."""
    body = ENCODER.encode(
        _Body(stream=entry.stream, seq=entry.seq, at=entry.at, actor=entry.actor, events=list(entry.events))
    )
    return replace(entry, body=body.decode(), prev=prev, hash=link(prev, body))


def link(prev: str, body: bytes) -> str:
    """The hash of an entry: SHA-256 over the previous hash in hex, a newline, and the body's bytes."""
    return hashlib.sha256(prev.encode() + b"\n" + body).hexdigest()


def opened(body: str, *, prev: str = "", digest: str = "", pos: int | None = None) -> Entry:
    """The entry that a stored body holds; kinds this program does not know come back as `Unknown`."""
    raw: _RawBody = _RAW.decode(body)
    events = tuple(_event(e) for e in raw.events)
    return Entry(
        stream=raw.stream, seq=raw.seq, at=raw.at, actor=raw.actor, events=events,
        body=body, prev=prev, hash=digest, pos=pos,
    )  # fmt: skip


def _event(raw: dict[str, Any]) -> Event:
    name, version = raw.get("kind", ""), raw.get("v", 1)
    while (name, version) in UPCASTS:
        raw = UPCASTS[name, version](raw)
        version += 1
    kind = EVENTS.get(name)
    if kind is None:
        return Unknown(name=name)
    return kind.from_dict({k: v for k, v in raw.items() if k not in ("kind", "v")})


def with_values(entry: Entry, values: Mapping[str, JSON]) -> Entry:
    """The entry with the content of its slots put back, as far as it was not erased."""
    return replace(entry, events=tuple(_filled(e, values) for e in entry.events))


def _filled(event: Event, values: Mapping[str, JSON]) -> Event:
    content: Content | None = getattr(event, "content", None)
    if content is None or not content.seals:
        return event
    return replace(event, content=Content({s: values[s] for s in content.seals if s in values}, content.seals))


# evolve


def evolve(case: Case | None, event: Event) -> Case:
    """The case after the event; the first event of a case must be `Opened`."""
    if isinstance(event, Opened):
        return _opened(event)
    if case is None:
        raise ValueError(f"{type(event).__name__} before Opened")
    if isinstance(event, Unknown):
        return replace(case, read_only=event.name)
    return _EVOLVE[type(event)](case, event)


def fold(case: Case | None, events: Iterable[Event], *, seq: int | None = None) -> Case:
    """The case after all events of one entry; `seq` is that entry's number."""
    for event in events:
        case = evolve(case, event)
    if case is None:
        raise ValueError("no events to fold")
    return case if seq is None else replace(case, seq=seq)


def _opened(e: Opened) -> Case:
    return Case(
        id=e.case_id, loop=e.loop, mode=e.mode, kind=e.case_kind, origin=e.origin, state="open",
        proposed=e.proposed, effect=Effect(state="none", fence=0), opened_at=e.at, key=e.key, run=e.run,
        parent=e.parent, leader=e.leader, owner=e.owner, action=e.action, confidence=_number(e.confidence),
        risk=unreal(e.risk), requires_approval=e.requires_approval, segment=e.segment, content=e.content,
        wants_effect=e.effect == "ready",
    )  # fmt: skip


def _routed(case: Case, e: Routed) -> Case:
    route = Route(
        to=e.to, by=e.by, reason=e.reason, control=e.control, inclusion=float(e.inclusion), audited=e.audited,
        epoch=e.epoch, bin=e.bin, group=e.group, quorum=e.quorum, risk=unreal(e.risk), due_at=e.due_at,
        on_timeout=e.on_timeout,
    )  # fmt: skip
    return replace(case, route=route, due_at=e.due_at)


def _rerouted(case: Case, e: Rerouted) -> Case:
    if case.route is None:
        raise ValueError("Rerouted before Routed")
    route = replace(case.route, by=e.by, reason=e.reason, group=e.group, quorum=e.quorum, risk=unreal(e.risk))
    return replace(case, route=route)


def _review_opened(case: Case, e: ReviewOpened) -> Case:
    review = Review(
        id=e.review_id, case_id=case.id, kind=e.review, group=e.group, round=e.round, state="open",
        due_at=e.due_at, order_at=e.order_at, opened_at=e.opened_at, excludes=e.excludes,
    )  # fmt: skip
    return replace(case, reviews=(*case.reviews, review))


def _with_review(case: Case, review_id: str, **changes: Any) -> Case:
    reviews = tuple(replace(r, **changes) if r.id == review_id else r for r in case.reviews)
    return replace(case, reviews=reviews)


def _claimed(case: Case, e: Claimed) -> Case:
    return _with_review(
        case, e.review_id, state="claimed", person=e.person, claim_id=e.claim_id, claimed_at=e.at,
        lease_until=e.until, presented=e.presented,
    )  # fmt: skip


def _extended(case: Case, e: Extended) -> Case:
    return _with_review(case, e.review_id, lease_until=e.until)


def _given_back(case: Case, e: Released | LeaseExpired) -> Case:
    return _with_review(
        case,
        e.review_id,
        state="open",
        person=None,
        claim_id=None,
        claimed_at=None,
        lease_until=None,
        presented=(),
    )


def _answered(case: Case, e: Answered) -> Case:
    answer = Answer(
        review_id=e.review_id, actor=e.actor, verdict=e.verdict, reasons=e.reasons, at=e.at,
        confidence=_number(e.confidence), shown=e.shown, presented=e.presented, seconds=_number(e.seconds),
    )  # fmt: skip
    case = _with_review(case, e.review_id, state="answered", person=e.actor.person, answered_at=e.at, lease_until=None)
    return replace(case, answered=(*case.answered, answer), content=case.content | e.content)


def _passed(case: Case, e: Passed) -> Case:
    case = _with_review(case, e.review_id, state="passed", person=e.actor.person, answered_at=e.at, lease_until=None)
    return replace(case, content=case.content | e.content)


def _review_cancelled(case: Case, e: ReviewCancelled) -> Case:
    return _with_review(case, e.review_id, state="cancelled", lease_until=None)


def _decided(case: Case, e: Decided) -> Case:
    decision = Decision(
        verdict=e.verdict, value=None, answers=e.answers, settled_by=e.settled_by, wrong=e.wrong,
        effective_at=e.effective_at, source=e.source,
    )  # fmt: skip
    return replace(case, settled=decision, state="decided")


def _retracted(case: Case, e: Retracted) -> Case:
    content = Content(
        {s: v for s, v in case.content.values.items() if s != f"answer/{e.review_id}"},
        {s: v for s, v in case.content.seals.items() if s != f"answer/{e.review_id}"},
    )
    answered = tuple(a for a in case.answered if a.review_id != e.review_id)
    case = _with_review(case, e.review_id, state="open", person=None, claim_id=None, claimed_at=None, answered_at=None)
    return replace(case, settled=None, state="open", answered=answered, content=content)


def _audited(case: Case, e: Audited) -> Case:
    row = {"review_id": e.review_id, "kind": e.review, "verdict": e.verdict, "wrong": e.wrong}
    return replace(case, audits=(*case.audits, row))


def _timed_out(case: Case, e: TimedOut) -> Case:
    return replace(case, due_at=None)


def _withdrawn(case: Case, e: Withdrawn) -> Case:
    return replace(case, due_at=None)


def _concluded(case: Case, e: Concluded) -> Case:
    outcome = Outcome(case_id=case.id, value=None, verdict=e.verdict, by=e.by, reviewers=e.reviewers)
    closed = e.effect == "none"
    return replace(
        case, concluded=outcome, effect=Effect(state=e.effect, fence=0), due_at=None,
        state="closed" if closed else "decided", closed_at=e.at if closed else None,
    )  # fmt: skip


def _effect_started(case: Case, e: EffectStarted) -> Case:
    return replace(case, effect=Effect(state="started", fence=e.fence, owner=e.owner, until=e.until))


def _effect_succeeded(case: Case, e: EffectSucceeded) -> Case:
    done = _effect_over(case, "succeeded", e.fence, e.at, e.content)
    return done if e.kept else replace(done, effect=replace(done.effect, kept=False))


def _effect_failed(case: Case, e: EffectFailed) -> Case:
    return _effect_over(case, "failed", e.fence, e.at, e.content)


def _effect_over(case: Case, state: Literal["succeeded", "failed"], fence: int, at: int, content: Content) -> Case:
    effect = Effect(state=state, fence=fence)
    return replace(case, effect=effect, state="closed", closed_at=at, content=case.content | content)


def _effect_lost(case: Case, e: EffectLost) -> Case:
    return replace(case, effect=Effect(state="unknown", fence=e.fence))


def _effect_resolved(case: Case, e: EffectResolved) -> Case:
    if e.happened:
        return _effect_over(case, "succeeded", e.fence, e.at, e.content)
    return replace(case, effect=Effect(state="ready", fence=e.fence))


def _erased(case: Case, e: Erased) -> Case:
    return replace(case, erased=True, content=Content(seals=case.content.seals))


_EVOLVE: dict[type[Event], Callable[[Case, Any], Case]] = {
    Routed: _routed,
    Rerouted: _rerouted,
    ReviewOpened: _review_opened,
    Claimed: _claimed,
    Released: _given_back,
    LeaseExpired: _given_back,
    Extended: _extended,
    Answered: _answered,
    Passed: _passed,
    ReviewCancelled: _review_cancelled,
    Decided: _decided,
    Retracted: _retracted,
    Audited: _audited,
    TimedOut: _timed_out,
    Withdrawn: _withdrawn,
    Concluded: _concluded,
    EffectStarted: _effect_started,
    EffectSucceeded: _effect_succeeded,
    EffectFailed: _effect_failed,
    EffectLost: _effect_lost,
    EffectResolved: _effect_resolved,
    Erased: _erased,
}
