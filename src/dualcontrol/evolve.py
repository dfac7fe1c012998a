"""`evolve`: the only way a case changes; folding its entries gives the same case again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal, TypeVar

from msgspec.structs import replace

from dualcontrol.case import Answer, Case, Content, Decision, Effect, Outcome, Review, ReviewState, Route, decoder
from dualcontrol.control import MODEL, RISK_MODEL, Audits, Cause, Control, LoopSettings, Untrained
from dualcontrol.events import (
    AlarmRaised,
    Answered,
    Audited,
    AuditsChanged,
    AutopilotClosed,
    AutopilotOpened,
    Claimed,
    Committed,
    Concluded,
    Decided,
    EffectFailed,
    EffectLost,
    EffectResolved,
    EffectStarted,
    EffectSucceeded,
    EpochBegan,
    Erased,
    Event,
    Extended,
    Joined,
    LeaseExpired,
    ModelKept,
    ModelPromoted,
    Opened,
    Parted,
    Passed,
    PolicyChanged,
    Recalled,
    Released,
    ReliefChanged,
    Rerouted,
    Retracted,
    ReviewCancelled,
    ReviewOpened,
    Revoked,
    Routed,
    ScoreChanged,
    ThresholdMoved,
    TimedOut,
    TrainingFailed,
    Unknown,
    Withdrawn,
    unreal,
)


def _number(text: str | None) -> float | None:
    return None if text is None else float(text)


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
        on_timeout=e.on_timeout, score=_number(e.score), scorer=e.scorer, model=e.model,
        relief=e.relief,
    )  # fmt: skip
    return replace(case, route=route, due_at=e.due_at)


def _rerouted(case: Case, e: Rerouted) -> Case:
    if case.route is None:
        raise ValueError("Rerouted before Routed")
    route = replace(case.route, by=e.by, reason=e.reason, group=e.group, quorum=e.quorum, risk=unreal(e.risk))
    return replace(case, route=route)


def _joined(case: Case, e: Joined) -> Case:
    return replace(case, followers=case.followers + 1)


def _parted(case: Case, e: Parted) -> Case:
    if case.route is None:
        raise ValueError("Parted before Routed")
    return replace(case, leader=None, route=replace(case.route, reason=e.reason))


def _review_opened(case: Case, e: ReviewOpened) -> Case:
    review = Review(
        id=e.review_id, case_id=case.id, kind=e.review, group=e.group, round=e.round, state="open",
        due_at=e.due_at, order_at=e.order_at, opened_at=e.opened_at, excludes=e.excludes,
        about=e.about, after=e.after, blind=e.blind,
    )  # fmt: skip
    return replace(case, reviews=(*case.reviews, review))


def _alarm_raised(case: Case, e: AlarmRaised) -> Case:
    row = {"code": e.code, "reason": e.reason, "at": e.at, "review_id": e.review_id}
    return replace(case, alarms=(*case.alarms, row))


def _with_review(case: Case, review_id: str, **changes: Any) -> Case:
    reviews = tuple(replace(r, **changes) if r.id == review_id else r for r in case.reviews)
    return replace(case, reviews=reviews)


def _claimed(case: Case, e: Claimed) -> Case:
    return _with_review(
        case, e.review_id, state="claimed", person=e.person, claim_id=e.claim_id, claimed_at=e.at,
        lease_until=e.until, presented=e.presented, seen=e.seen, followers=e.followers, meta=e.meta,
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
        seen=None,
        followers=0,
        meta=(),
    )


def _committed(case: Case, e: Committed) -> Case:
    case = _with_review(case, e.review_id, committed=e.person)
    return replace(case, content=case.content | e.content)


def _answered(case: Case, e: Answered) -> Case:
    answer = Answer(
        review_id=e.review_id, actor=e.actor, verdict=e.verdict, reasons=e.reasons, at=e.at,
        confidence=_number(e.confidence), shown=e.shown, presented=e.presented, seconds=_number(e.seconds),
        until=e.until,
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
        effective_at=e.effective_at, source=e.source, risk=unreal(e.risk), until=e.until,
    )  # fmt: skip
    return replace(case, settled=decision, state="decided")


def _retracted(case: Case, e: Retracted) -> Case:
    return replace(_without_answer(case, e.review_id, "open"), settled=None, state="open")


def _without_answer(case: Case, review_id: str, state: ReviewState) -> Case:
    """The case without what was said in a review, which nobody has worked on then."""
    slot = f"answer/{review_id}"
    content = Content(
        {s: v for s, v in case.content.values.items() if s != slot},
        {s: v for s, v in case.content.seals.items() if s != slot},
    )
    answered = tuple(a for a in case.answered if a.review_id != review_id)
    case = _with_review(
        case, review_id, state=state, person=None, claim_id=None, claimed_at=None, answered_at=None, seen=None,
        followers=0, meta=(),
    )  # fmt: skip
    return replace(case, answered=answered, content=content)


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
        case, concluded=outcome, effect=Effect(state=e.effect, fence=case.effect.fence), due_at=None,
        state="closed" if closed else "decided", closed_at=e.at if closed else None,
    )  # fmt: skip


def _recalled(case: Case, e: Recalled) -> Case:
    if case.route is None:
        raise ValueError("Recalled before Routed")
    route = case.route
    for review_id in case.settled.answers if e.lapsed and case.settled is not None else ():
        case = _without_answer(case, review_id, "cancelled")
    route = replace(
        route, to="human", by=e.by, reason=e.reason, control=e.control, inclusion=1.0, group=e.group,
        quorum=e.quorum, risk=unreal(e.risk), due_at=e.due_at, on_timeout=e.on_timeout, relief=None,
    )  # fmt: skip
    effect = Effect(state="none", fence=case.effect.fence)
    return replace(
        case, state="open", settled=None, concluded=None, leader=None, route=route, due_at=e.due_at, effect=effect,
        recalled_after=len(case.reviews),
    )  # fmt: skip


def _revoked(case: Case, e: Revoked) -> Case:
    outcome = Outcome(case_id=case.id, value=None, verdict="reject", by="human", reviewers=(e.actor.person,))
    effect = Effect(state="none", fence=case.effect.fence)
    content = case.content | e.content
    return replace(case, concluded=outcome, effect=effect, state="closed", closed_at=e.at, content=content)


def _effect_started(case: Case, e: EffectStarted) -> Case:
    return replace(case, effect=Effect(state="started", fence=e.fence, owner=e.owner, until=e.until))


def _effect_succeeded(case: Case, e: EffectSucceeded) -> Case:
    done = _effect_over(case, "succeeded", e.fence, e.at, e.content)
    return done if e.kept else replace(done, effect=replace(done.effect, kept=False))


def _effect_failed(case: Case, e: EffectFailed) -> Case:
    failed = _effect_over(case, "failed", e.fence, e.at, e.content)
    return failed if e.ran else replace(failed, effect=replace(failed.effect, ran=False))


def _effect_over(case: Case, state: Literal["succeeded", "failed"], fence: int, at: int, content: Content) -> Case:
    effect = Effect(state=state, fence=fence)
    return replace(case, effect=effect, state="closed", closed_at=at, content=case.content | content)


def _effect_lost(case: Case, e: EffectLost) -> Case:
    return replace(case, effect=Effect(state="unknown", fence=e.fence))


def _effect_resolved(case: Case, e: EffectResolved) -> Case:
    if e.happened:
        return _effect_over(case, "succeeded", e.fence, e.at, e.content)
    return replace(case, effect=Effect(state="ready", fence=e.fence), state="decided", closed_at=None)


def _erased(case: Case, e: Erased) -> Case:
    return replace(case, erased=True, content=Content(seals=case.content.seals))


_EVOLVE: dict[type[Event], Callable[[Case, Any], Case]] = {
    Routed: _routed,
    Rerouted: _rerouted,
    Joined: _joined,
    Parted: _parted,
    ReviewOpened: _review_opened,
    AlarmRaised: _alarm_raised,
    Claimed: _claimed,
    Released: _given_back,
    LeaseExpired: _given_back,
    Committed: _committed,
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
    Recalled: _recalled,
    Revoked: _revoked,
    EffectStarted: _effect_started,
    EffectSucceeded: _effect_succeeded,
    EffectFailed: _effect_failed,
    EffectLost: _effect_lost,
    EffectResolved: _effect_resolved,
    Erased: _erased,
}


# `governed_by`: the only way a loop's control changes; folding the loop's events gives the same control again.


_SETTINGS = decoder(LoopSettings)
_Kept = TypeVar("_Kept")


def governed_by(control: Control, event: Event) -> Control:
    """The control after an event of its loop: the next version, or the same where the event governs nothing."""
    change = CHANGES.get(type(event))
    if change is not None:
        return replace(control, version=control.version + 1, **change(control, event))
    return _untrained(control, event) if isinstance(event, TrainingFailed) else control


def _untrained(control: Control, event: TrainingFailed) -> Control:
    said = {name: getattr(event, name) for name in Untrained.__struct_fields__}
    return replace(control, untrained={**control.untrained, event.what: Untrained(**said)})


def _policy(control: Control, event: PolicyChanged) -> dict[str, Any]:
    """New settings; another promise, or other labels, are certified by nothing yet."""
    settings = _SETTINGS.decode(event.settings)
    same = control.version == 0 or (settings.guarantee == control.settings.guarantee and not event.relabelled)
    changed: dict[str, Any] = {"settings": settings} | ({} if same else _nothing_certified(control))
    # another trainer, or other labels, may do what the last training could not
    return changed | ({"untrained": {}} if control.untrained else {})


def _nothing_certified(control: Control) -> dict[str, Any]:
    return {"thresholds": {}, "audits": {}, "epochs": {}, "models": {}, "epoch": control.epoch + 1}


def _began(control: Control, event: EpochBegan) -> dict[str, Any]:
    """Nothing is certified in a new epoch of a segment."""
    models = _without(control.models, event.segment)
    return {
        "epoch": max(control.epoch, event.epoch),
        "epochs": {**control.epochs, event.segment: event.epoch},
        "models": models if event.model is None else {**models, event.segment: event.model},
        "thresholds": _without(control.thresholds, event.segment),
        "audits": _without(control.audits, event.segment),
    }


def _threshold(control: Control, event: ThresholdMoved) -> dict[str, Any]:
    moved = {} if event.threshold is None else {event.segment: float(event.threshold)}
    return {"thresholds": _without(control.thresholds, event.segment) | moved}


def _audits(control: Control, event: AuditsChanged) -> dict[str, Any]:
    floor = None if event.floor is None else float(event.floor)
    audits = Audits(edges=tuple(map(float, event.edges)), shares=tuple(map(float, event.shares)), floor=floor)
    return {"audits": {**control.audits, event.segment: audits}}


def _closed(control: Control, event: AutopilotClosed) -> dict[str, Any]:
    return {
        "closed": {**control.closed, event.segment: event.reason},
        "causes": {**control.causes, event.segment: Cause(by=event.cause, model=event.model)},
    }


def _autopilot_opened(control: Control, event: AutopilotOpened) -> dict[str, Any]:
    return {"closed": _without(control.closed, event.segment), "causes": _without(control.causes, event.segment)}


def _relief(control: Control, event: ReliefChanged) -> dict[str, Any]:
    return {"relief": event.level}


def _promoted(control: Control, event: ModelPromoted) -> dict[str, Any]:
    """A new model begins an epoch; what was certified was the old one."""
    epoch = {"model": event.model, "epoch": control.epoch + 1, "untrained": _without(control.untrained, MODEL)}
    return epoch if control.settings.guarantee is None else {**_nothing_certified(control), **epoch}


def _scored(control: Control, event: ScoreChanged) -> dict[str, Any]:
    """What was certified was certified for another score."""
    trained = {"scorer": event.model, "untrained": _without(control.untrained, RISK_MODEL)}
    return trained | _nothing_certified(control)


def _kept(control: Control, event: ModelKept) -> dict[str, Any]:
    return {"untrained": _without(control.untrained, MODEL)}


def caused(control: Control) -> Control:
    """A control as its row says it, with the causes that an older version did not write there."""
    missing = {segment: Cause.of_words(why) for segment, why in control.closed.items() if segment not in control.causes}
    return replace(control, causes={**control.causes, **missing}) if missing else control


def _without(held: dict[str, _Kept], segment: str) -> dict[str, _Kept]:
    return {name: value for name, value in held.items() if name != segment}


# A batch is routed under a version, evidence is counted under one, and a training that failed changes nothing that
# governs; every other event of a loop makes a new version.
CHANGES: dict[type[Event], Callable[[Control, Any], dict[str, Any]]] = {
    PolicyChanged: _policy,
    EpochBegan: _began,
    ThresholdMoved: _threshold,
    AuditsChanged: _audits,
    AutopilotClosed: _closed,
    AutopilotOpened: _autopilot_opened,
    ReliefChanged: _relief,
    ModelPromoted: _promoted,
    ModelKept: _kept,
    ScoreChanged: _scored,
}
